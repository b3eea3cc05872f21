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

// Table holds tardiness by m/d and the coefficient of variation: the plan asks for it so often that the error functions would take most
// of a control step. Interpolation is within 1 % of the deadline.
//
// Points of m/d are those whose mantissa has tardyBits bits: which of them a number lies between is written in its first bits, so that no
// logarithm is needed.
type Table [tardyRatios + 1][tardyCVs + 1]float64

const (
	tardyBits    = 5 // 32 points from each power of two to the next
	tardyOctaves = 6 // either side of 1
	tardyRatios  = 2 * tardyOctaves << tardyBits
	tardyCVs     = 70 // of the coefficient of variation, from 0 to tardyCVMost
	tardyCVMost  = 7.0
	tardyPerUnit = tardyCVs / tardyCVMost

	mantissaBits = 52   // of a float64
	exponentBias = 1023 // of a float64
)

// NewTable works out a table.
func NewTable() *Table {
	t := new(Table)
	for i := range t {
		m := tardyPoint(i)
		for j := range t[i] {
			cv := float64(j) / tardyPerUnit
			t[i][j] = Tardiness(m, cv*cv*m*m, 1)
		}
	}
	return t
}

// tardyPoint is the i'th point of m/d.
func tardyPoint(i int) float64 {
	return math.Ldexp(1+float64(i&(1<<tardyBits-1))/(1<<tardyBits), i>>tardyBits-tardyOctaves)
}

// At is Tardiness(m, v, d), interpolated; m, √v and d in the same unit. It is 0 where m, v or d is no number.
func (t *Table) At(m, v, d float64) float64 {
	if !(m > 0) || !(d > 0) || !(v >= 0) {
		return 0
	}
	out, _, _ := t.Slopes(m/d, math.Sqrt(v)/m)
	return out
}

// Slopes is the tardiness of a mean of ratio deadlines at a coefficient of variation, and its derivatives with respect to the two; all 0
// where one of them is no number.
func (t *Table) Slopes(ratio, cv float64) (tardiness, byRatio, byCV float64) {
	const least, most = 1.0 / (1 << tardyOctaves), 1 << tardyOctaves
	if !(ratio > least) || !(cv >= 0) {
		return 0, 0, 0
	}
	if ratio >= most {
		return ratio - 1, 1, 0
	}
	bits := math.Float64bits(ratio)
	i := int(bits>>(mantissaBits-tardyBits)) - (exponentBias-tardyOctaves)<<tardyBits
	from := math.Float64frombits(bits &^ (1<<(mantissaBits-tardyBits) - 1))
	perRatio := math.Float64frombits((2*exponentBias + tardyBits - bits>>mantissaBits) << mantissaBits) // 2^bits over the power of two
	y := min(cv*tardyPerUnit, tardyCVs-1e-6)
	j := int(y)
	fx, fy := (ratio-from)*perRatio, y-float64(j)
	a, b := &t[i], &t[i+1]
	risesLow, risesHigh := a[j+1]-a[j], b[j+1]-b[j]
	low, high := a[j]+fy*risesLow, b[j]+fy*risesHigh
	return low + fx*(high-low), (high - low) * perRatio, (risesLow + fx*(risesHigh-risesLow)) * tardyPerUnit
}
