package forecast

import (
	"math"
	"slices"
	"time"
)

// Score is how well past forecasts came true. The zero value has judged none.
type Score struct {
	errors  []float64 // |measured ÷ expected − 1| of the last ones
	covered []bool    // the measured value was in the interval
	Judged  int       // in all
	Dropped int       // could not be judged: something else changed meanwhile, or too few answers came
}

// scoreMost is how many of the last forecasts are remembered.
const scoreMost = 50

// mostOff bounds how far off a forecast counts: pages may have bounds of 1e308 ms, and sums of such errors are no
// number.
const mostOff = 1e6

// Add counts what became of a forecast.
func (s *Score) Add(expected Range, measured float64) {
	off := math.Abs(measured/expected.Median - 1)
	if math.IsNaN(off) || math.IsInf(off, 0) { // nothing was expected, or nothing measured
		s.Dropped++
		return
	}
	s.Judged++
	s.errors = append(s.errors, min(off, mostOff))
	s.covered = append(s.covered, measured >= expected.Low && measured <= expected.High)
	if n := len(s.errors) - scoreMost; n > 0 {
		s.errors, s.covered = slices.Delete(s.errors, 0, n), slices.Delete(s.covered, 0, n)
	}
}

// MedianError is the median relative error of the last forecasts; 0 of none.
func (s *Score) MedianError() float64 {
	n := len(s.errors)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.errors))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Covered is the share of the last forecasts whose interval held what was measured; 0 of none.
func (s *Score) Covered() float64 {
	n := 0.0
	for _, c := range s.covered {
		if c {
			n++
		}
	}
	return n / math.Max(1, float64(len(s.covered)))
}

// Measured collects the response times that the status page shows over the horizon of a forecast. The zero value is
// empty.
type Measured struct {
	Seconds    float64 // so far
	bounds     []float64
	cumulative []float64
	count      float64
}

// leastMeasured is the fewest response times whose 99th percentile is worth comparing.
const leastMeasured = 200

// Pass lets time pass.
func (m *Measured) Pass(interval time.Duration) { m.Seconds += interval.Seconds() }

// Add counts a histogram: of count response times, buckets[i] are at most boundsMsec[i] long. Histograms with other
// bounds than the first are left out.
func (m *Measured) Add(boundsMsec []float64, buckets []uint64, count uint64) {
	if len(boundsMsec) == 0 || len(boundsMsec) != len(buckets) {
		return
	}
	if m.bounds == nil {
		m.bounds, m.cumulative = slices.Clone(boundsMsec), make([]float64, len(buckets))
	}
	if !slices.Equal(m.bounds, boundsMsec) {
		return
	}
	for i, n := range buckets {
		m.cumulative[i] += float64(n)
	}
	m.count += float64(count)
}

// P99 is the 99th percentile in s; ok is false of too few response times.
func (m *Measured) P99() (seconds float64, ok bool) {
	if m.count < leastMeasured {
		return 0, false
	}
	return Quantile(m.bounds, m.cumulative, m.count, 0.99), true
}
