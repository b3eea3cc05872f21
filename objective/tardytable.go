package objective

import "math"

// Tardiness returns E[max(0, T−d)]/d for a response time T with mean m and variance v, assumed lognormal.
func Tardiness(m, v, d float64) float64 {
	if m <= 0 || d <= 0 {
		return 0
	}
	s2 := math.Log1p(v / (m * m))
	if s2 < 1e-9 {
		return math.Max(0, m-d) / d
	}
	s := math.Sqrt(s2)
	z := (math.Log(m/d) + s2/2) / s
	return math.Max(0, m/d*normalCDF(z)-normalCDF(z-s))
}

func normalCDF(z float64) float64 { return 0.5 * math.Erfc(-z/math.Sqrt2) }

// Table holds tardiness by log(m/d) and the coefficient of variation: the plan asks for it so often that the
// error functions would take most of a control step. Interpolation is within 1 % of the deadline.
type Table [tardyRatios + 1][tardyCVs + 1]float64

const (
	tardyRatios  = 320 // of log(m/d), from −tardySpan to tardySpan
	tardySpan    = 4.0
	tardyCVs     = 70 // of the coefficient of variation, from 0 to tardyCVMost
	tardyCVMost  = 7.0
	tardyPerLog  = tardyRatios / (2 * tardySpan)
	tardyPerUnit = tardyCVs / tardyCVMost
)

func NewTable() *Table {
	t := new(Table)
	for i := range t {
		m := math.Exp(float64(i)/tardyPerLog - tardySpan)
		for j := range t[i] {
			cv := float64(j) / tardyPerUnit
			t[i][j] = Tardiness(m, cv*cv*m*m, 1)
		}
	}
	return t
}

// At is Tardiness(m, v, d), interpolated; m, √v and d in the same unit. It is 0 where m, v or d is no number.
func (t *Table) At(m, v, d float64) float64 {
	if !(m > 0) || !(d > 0) || !(v >= 0) {
		return 0
	}
	x := (math.Log(m/d) + tardySpan) * tardyPerLog
	if x <= 0 {
		return 0
	}
	if x >= tardyRatios {
		return math.Max(0, m-d) / d
	}
	y := min(math.Sqrt(v)/m*tardyPerUnit, tardyCVs-1e-6)
	i, j := int(x), int(y)
	fx, fy := x-float64(i), y-float64(j)
	low := t[i][j] + fy*(t[i][j+1]-t[i][j])
	high := t[i+1][j] + fy*(t[i+1][j+1]-t[i+1][j])
	return low + fx*(high-low)
}
