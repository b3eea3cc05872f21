package objective

import "math"

// Moments are running first and second moments of response times in seconds.
type Moments struct {
	N      float64 `json:"n"`
	Sum    float64 `json:"sum_s"`
	Square float64 `json:"sum_square_s2"`
}

// Add counts n values with the sum and the sum of squares given.
func (m *Moments) Add(n, sum, square float64) { m.N += n; m.Sum += sum; m.Square += square }

// Decay forgets all but the share keep of what was counted.
func (m *Moments) Decay(keep float64) { m.N *= keep; m.Sum *= keep; m.Square *= keep }

// Mean is the mean in seconds, 0 of nothing.
func (m Moments) Mean() float64 { return m.Sum / math.Max(m.N, 1e-9) }

// Variance is the variance in seconds², at least 0.
func (m Moments) Variance() float64 {
	mean := m.Mean()
	return math.Max(0, m.Square/math.Max(m.N, 1e-9)-mean*mean)
}
