package arrival

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rates are the rates over time that the tests go through.
func rates(t *testing.T) map[string]Rate {
	rate := must[Rate](t)
	return map[string]Rate{
		"constant": Constant(300),
		"steps": rate(Steps(Point{0, 100}, Point{time.Second, 0}, Point{2 * time.Second, 900},
			Point{5 * time.Second, 50})),
		"late":  rate(Steps(Point{1500 * time.Millisecond, 400})),
		"ramps": rate(Ramps(Point{0, 0}, Point{4 * time.Second, 800}, Point{6 * time.Second, 100})),
		"jump": rate(Ramps(Point{0, 200}, Point{time.Second, 200}, Point{time.Second, 700},
			Point{9 * time.Second, 300})),
		"sine": must[*Sine](t)(NewSine(500, 400, 3*time.Second, 1)),
		"deep": must[*Sine](t)(NewSine(500, 500, 2*time.Second, -math.Pi/2)),
	}
}

// The area over an interval is the integral of At, here by the midpoint rule.
func TestAreaIsTheIntegralOfTheRate(t *testing.T) {
	for name, r := range rates(t) {
		for _, to := range []time.Duration{500 * time.Millisecond, 2500 * time.Millisecond, 7 * time.Second,
			12 * time.Second} {
			from := 200 * time.Millisecond
			const n = 200_000
			var sum float64
			for i := range n {
				sum += r.At(from+time.Duration((float64(i)+0.5)/n*float64(to-from))) / n * (to - from).Seconds()
			}
			if got := r.Area(from, to); math.Abs(got-sum) > 0.1 { // a step of 850/s inside one of 60 µs
				t.Errorf("%s to %s: got area %g, want %g", name, to, got, sum)
			}
		}
	}
}

// After undoes Area: the rate from t to After(t, a) has the area a, to the nanosecond.
func TestAfterInvertsArea(t *testing.T) {
	for name, r := range rates(t) {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				from := time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "from"))
				area := rapid.Float64Range(1e-6, 3000).Draw(t, "area")
				due, ok := r.After(from, area)
				if !ok || due < from {
					t.Fatalf("got %s, %t after %s", due, ok, from)
				}
				slack := 2e-9*max(r.At(due), r.At(due-1)) + 1e-9*area + 1e-9 // two nanoseconds, and rounding
				if got := r.Area(from, due); math.Abs(got-area) > slack {
					t.Fatalf("After(%s, %g) = %s, where the area is %g", from, area, due, got)
				}
			})
		})
	}
}

func TestRatesThatEndHaveNoFurtherArrivals(t *testing.T) {
	steps := must[Rate](t)(Steps(Point{0, 100}, Point{time.Second, 0}))
	ramps := must[Rate](t)(Ramps(Point{0, 101}, Point{time.Second, 0}))
	for name, c := range map[string]struct {
		rate Rate
		n    int
	}{"steps": {steps, 100}, "ramps": {ramps, 50}} {
		p, err := New(Fixed, c.rate, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for range 1000 {
			if _, ok := p.Next(); ok {
				n++
			}
		}
		if n != c.n {
			t.Errorf("%s: got %d arrivals, want %d", name, n, c.n)
		}
	}
}

// A Poisson process over a changing rate: counts in disjoint intervals are Poisson with the area as mean, so their
// squared deviations over the means sum to a chi-square; and mapped back by the area the gaps are exponential.
func TestInhomogeneousPoissonCounts(t *testing.T) {
	for name, r := range rates(t) {
		t.Run(name, func(t *testing.T) {
			p, err := New(Exp, r, 11)
			if err != nil {
				t.Fatal(err)
			}
			const bins, width = 40, 250 * time.Millisecond
			var counts [bins]float64
			var gaps []float64
			last := time.Duration(0)
			for {
				due, ok := p.Next()
				if !ok || due >= bins*width {
					break
				}
				counts[due/width]++
				gaps = append(gaps, r.Area(last, due))
				last = due
			}
			chi, df := 0.0, 0.0
			for i, n := range counts {
				want := r.Area(time.Duration(i)*width, time.Duration(i+1)*width)
				if want < 5 {
					continue
				}
				chi += (n - want) * (n - want) / want
				df++
			}
			if limit := df + 4*math.Sqrt(2*df); chi > limit { // about the 99.99th percentile
				t.Errorf("got chi-square %g over %g intervals, want at most %g", chi, df, limit)
			}
			slices.Sort(gaps)
			if p := KolmogorovSmirnov(Distance(gaps, newExp(0).CDF, 0), len(gaps)); p < 0.01 {
				t.Errorf("gaps in operational time: got p %g, want exponential not rejected at 1 %%", p)
			}
		})
	}
}

func TestEveryKindFollowsTheRate(t *testing.T) {
	r := rates(t)["sine"]
	for _, kind := range Kinds() {
		p, err := New(kind, r, 5)
		if err != nil {
			t.Fatal(err)
		}
		end, n := 60*time.Second, 0.0
		for due, ok := p.Next(); ok && due < end; due, ok = p.Next() {
			n++
		}
		if want := r.Area(0, end); math.Abs(n/want-1) > 0.03 {
			t.Errorf("%s: got %g arrivals, want %g within 3 %%", kind, n, want)
		}
	}
}

func TestBadRatesAreRefused(t *testing.T) {
	s := time.Second
	for what, build := range map[string]func() (any, error){
		"a ramp without points":             func() (any, error) { return Ramps() },
		"steps that go back in time":        func() (any, error) { return Steps(Point{s, 1}, Point{0, 2}) },
		"two steps at one offset":           func() (any, error) { return Steps(Point{s, 1}, Point{s, 2}) },
		"a step with a negative rate":       func() (any, error) { return Steps(Point{0, -1}) },
		"a step with no number as its rate": func() (any, error) { return Steps(Point{0, math.NaN()}) },
		"a step before the start":           func() (any, error) { return Steps(Point{-s, 1}) },
		"a ramp that goes back in time":     func() (any, error) { return Ramps(Point{s, 1}, Point{0, 2}) },
		"a ramp to an infinite rate":        func() (any, error) { return Ramps(Point{0, 1}, Point{s, math.Inf(1)}) },
		"a sine below zero":                 func() (any, error) { return NewSine(10, 11, s, 0) },
		"a sine without a mean":             func() (any, error) { return NewSine(0, 0, s, 0) },
		"a sine without a period":           func() (any, error) { return NewSine(10, 1, 0, 0) },
		"a sine with an infinite phase":     func() (any, error) { return NewSine(10, 1, s, math.Inf(1)) },
	} {
		if r, err := build(); err == nil {
			t.Errorf("%s: got %v, want an error", what, r)
		}
	}
}

// A gap that would pass the range of time.Duration ends the process instead of overflowing.
func TestGapsBeyondTheClockEndTheProcess(t *testing.T) {
	for name, r := range map[string]Rate{"constant": Constant(1e-12), "late constant": Constant(1e-9)} {
		p, err := New(Fixed, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Duration(0)
		for range 100 {
			due, ok := p.Next()
			if ok && due < last {
				t.Fatalf("%s: got %s after %s", name, due, last)
			}
			last = due
		}
	}
}

func ExampleSteps() {
	rate, _ := Steps(Point{0, 1}, Point{2 * time.Second, 4})
	process, _ := New(Fixed, rate, 1)
	for range 6 {
		due, _ := process.Next()
		fmt.Print(due, " ")
	}
	// Output: 1s 2s 2.25s 2.5s 2.75s 3s
}
