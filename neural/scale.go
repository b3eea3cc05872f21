package neural

import (
	"errors"
	"math"
)

// Scaler brings inputs to mean 0 and deviation 1, as they were where it was fitted.
type Scaler struct {
	Mean []float64 `json:"mean"`
	Inv  []float64 `json:"inverse_deviation"`
}

// leastDeviation is below which an input counts as constant: it is only shifted.
const leastDeviation = 1e-6

// most is how many deviations from the mean an input may be: what was never seen in training must not run away.
const most = 8

// FitScaler fits a scaler to rows of d inputs each.
func FitScaler(x []float64, d int) Scaler {
	s := Scaler{Mean: make([]float64, d), Inv: make([]float64, d)}
	n := float64(len(x) / d)
	for i, v := range x {
		s.Mean[i%d] += v / n
	}
	for i, v := range x {
		s.Inv[i%d] += (v - s.Mean[i%d]) * (v - s.Mean[i%d]) / n
	}
	for i, v := range s.Inv {
		s.Inv[i] = 1
		if dev := math.Sqrt(v); dev > leastDeviation {
			s.Inv[i] = 1 / dev
		}
	}
	return s
}

// ApplyTo writes the scaled row x to dst.
func (s Scaler) ApplyTo(dst, x []float64) {
	for i, v := range x {
		dst[i] = min(most, max(-most, (v-s.Mean[i])*s.Inv[i]))
	}
}

// Check reports what is wrong with a scaler of d inputs from a file.
func (s Scaler) Check(d int) error {
	if len(s.Mean) != d || len(s.Inv) != d || !Finite(s.Mean) || !Finite(s.Inv) {
		return errors.New("scaler of inputs: wrong length, or a number that is not finite")
	}
	return nil
}
