package cluster

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Scaler standardises features: z = (x − mean) / deviation. A feature that was constant in the data keeps deviation
// 1, so that a later change of it is seen in its own units.
type Scaler struct {
	Mean      []float64 `json:"mean"`
	Deviation []float64 `json:"deviation"`
}

// FitScaler returns the scaler of x, n×d. NaN says that a feature is unknown in a row and is left out.
func FitScaler(x *mat.Dense) Scaler {
	n, d := x.Dims()
	s := Scaler{Mean: make([]float64, d), Deviation: make([]float64, d)}
	for j := range d {
		var count, mean, m2 float64
		for i := range n {
			v := x.At(i, j)
			if math.IsNaN(v) {
				continue
			}
			count++ // Welford's update
			delta := v - mean
			mean += delta / count
			m2 += delta * (v - mean)
		}
		s.Mean[j], s.Deviation[j] = mean, 1
		if count > 1 {
			if sd := math.Sqrt(m2 / count); sd > 1e-9*(1+math.Abs(mean)) {
				s.Deviation[j] = sd
			}
		}
	}
	return s
}

// IdentityScaler leaves d features as they are.
func IdentityScaler(d int) Scaler {
	s := Scaler{Mean: make([]float64, d), Deviation: make([]float64, d)}
	for j := range s.Deviation {
		s.Deviation[j] = 1
	}
	return s
}

// TransformTo writes the standardised x to dst; an unknown feature (NaN) becomes 0, the mean. dst may be x.
func (s Scaler) TransformTo(dst, x []float64) {
	for j, v := range x {
		if math.IsNaN(v) {
			dst[j] = 0
			continue
		}
		dst[j] = (v - s.Mean[j]) / s.Deviation[j]
	}
}

// Transform returns the standardised x, n×d.
func (s Scaler) Transform(x *mat.Dense) *mat.Dense {
	n, d := x.Dims()
	z := mat.NewDense(n, d, nil)
	for i := range n {
		s.TransformTo(z.RawRowView(i), x.RawRowView(i))
	}
	return z
}

func (s Scaler) validate(d int) error {
	if len(s.Mean) != d || len(s.Deviation) != d {
		return fmt.Errorf("scaler: %d means and %d deviations, want %d", len(s.Mean), len(s.Deviation), d)
	}
	for j := range d {
		if math.IsNaN(s.Mean[j]) || math.IsInf(s.Mean[j], 0) || !(s.Deviation[j] > 0) || math.IsInf(s.Deviation[j], 0) {
			return fmt.Errorf("scaler: feature %d has mean %g and deviation %g", j, s.Mean[j], s.Deviation[j])
		}
	}
	return nil
}
