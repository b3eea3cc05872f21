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

// Watch follows the forecast of the last change until it can be judged. The zero value follows none, and has judged
// none.
type Watch struct {
	Score
	forecast *Forecast // nil: none
	measured measured
}

// Begin follows the forecast of a change that is made; nil: there is none. The one before can be judged no more.
func (w *Watch) Begin(f *Forecast) {
	w.Drop()
	w.forecast, w.measured = f, measured{}
}

// Drop gives up the forecast that is followed, for something else has changed.
func (w *Watch) Drop() {
	if w.forecast != nil {
		w.Score.Dropped++
		w.forecast = nil
	}
}

// Add counts a histogram that the status page shows: of count response times, buckets[i] are at most boundsMsec[i]
// long.
func (w *Watch) Add(boundsMsec []float64, buckets []uint64, count uint64) {
	if w.forecast != nil {
		w.measured.add(boundsMsec, buckets, count)
	}
}

// Pass lets an interval pass whose histograms were added. It returns for how long the forecast has been followed, and
// when its horizon is over the 99th percentile that came true, in s; 0: it is not, or cannot be judged. Open is false
// when none was followed.
func (w *Watch) Pass(seconds float64) (sec, p99 float64, open bool) {
	f := w.forecast
	if f == nil {
		return 0, 0, false
	}
	if w.measured.seconds += seconds; w.measured.seconds < f.HorizonSec {
		return w.measured.seconds, 0, true
	}
	p99, ok := w.measured.p99()
	if !ok || f.Change.Shown.Median <= 0 {
		w.Drop()
		return w.measured.seconds, 0, true
	}
	w.Score.Add(f.Change.Shown, p99)
	w.forecast = nil
	if math.IsNaN(p99) || math.IsInf(p99, 0) { // a page may count answers without their times
		p99 = 0
	}
	return w.measured.seconds, p99, true
}

// measured collects the response times that the status page shows over the horizon of a forecast.
type measured struct {
	seconds    float64 // so far
	bounds     []float64
	cumulative []float64
	count      float64
}

// leastMeasured is the fewest response times whose 99th percentile is worth comparing.
const leastMeasured = 200

// add counts a histogram. Those with other bounds than the first are left out.
func (m *measured) add(boundsMsec []float64, buckets []uint64, count uint64) {
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

// p99 is the 99th percentile in s; ok is false of too few response times.
func (m *measured) p99() (seconds float64, ok bool) {
	if m.count < leastMeasured {
		return 0, false
	}
	return quantile(m.bounds, m.cumulative, m.count, 0.99), true
}
