package twin

import (
	"fmt"
	"math"
	"slices"
)

// Score is how well past forecasts came true. The zero value has judged none. A copy is not changed by what is added.
type Score struct {
	Errors  []float64 `json:"errors"`  // |measured ÷ expected − 1| of the last ones
	Inside  []bool    `json:"covered"` // the measured value was in the interval
	Judged  int       `json:"judged"`  // in all
	Dropped int       `json:"dropped"` // could not be judged: something else changed meanwhile, or too few answers came
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
	first := max(0, len(s.Errors)+1-scoreMost)
	s.Errors = append(slices.Clone(s.Errors[first:]), min(off, mostOff))
	s.Inside = append(slices.Clone(s.Inside[first:]), measured >= expected.Low && measured <= expected.High)
}

// Check reports what is wrong with a score that was read from a file.
func (s *Score) Check() error {
	if len(s.Errors) != len(s.Inside) || len(s.Errors) > scoreMost || s.Judged < len(s.Errors) || s.Dropped < 0 {
		return fmt.Errorf("score of %d errors, %d intervals and %d forecasts: not usable", len(s.Errors),
			len(s.Inside), s.Judged)
	}
	for _, v := range s.Errors {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fmt.Errorf("score with a relative error of %v: not usable", v)
		}
	}
	return nil
}

// MedianError is the median relative error of the last forecasts; 0 of none.
func (s *Score) MedianError() float64 {
	n := len(s.Errors)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.Errors))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Covered is the share of the last forecasts whose interval held what was measured; 0 of none.
func (s *Score) Covered() float64 {
	n := 0.0
	for _, c := range s.Inside {
		if c {
			n++
		}
	}
	return n / math.Max(1, float64(len(s.Inside)))
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
	return quantile(m.bounds, m.cumulative, m.count, 0.99), true
}
