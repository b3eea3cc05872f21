package loadgen

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/loadgen/arrival"
)

// Quantiles are nearest rank, off by at most 0.1 % or a microsecond.
func TestLatenciesAgreeWithSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := NewLatencies(), NewLatencies()
	var all []time.Duration
	for i := range 5000 {
		d := time.Duration(math.Exp(rng.NormFloat64()*3) * float64(time.Millisecond))
		all = append(all, d)
		if i%2 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(b)
	slices.Sort(all)
	var sum time.Duration
	for _, d := range all {
		sum += d
	}
	if a.Count() != 5000 || a.Mean() != sum/5000 || a.Max() != all[4999] {
		t.Errorf("got %d values, mean %s, max %s, want 5000, %s, %s", a.Count(), a.Mean(), a.Max(), sum/5000, all[4999])
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		got, want := a.Quantile(q), all[max(0, int(math.Ceil(q*5000))-1)]
		if d := (got - want).Abs(); d > max(want/1000, time.Microsecond) {
			t.Errorf("quantile %g: got %s, want %s", q, got, want)
		}
	}
}

func TestLatenciesAtTheirLimits(t *testing.T) {
	l := NewLatencies()
	if l.Quantile(0.99) != 0 || l.Mean() != 0 || l.Max() != 0 {
		t.Errorf("empty: got %+v, want zeros", l.Summary())
	}
	l.Record(-time.Second)
	if l.Max() != 0 || l.Count() != 1 {
		t.Errorf("a negative value: got max %s of %d, want 0 of 1", l.Max(), l.Count())
	}
	l.Record(100 * time.Hour)
	if got := l.Quantile(1); got < longest*999/1000 || l.Max() != 100*time.Hour {
		t.Errorf("a value beyond the range: got p100 %s, max %s, want the end of the range and the value", got, l.Max())
	}
	l.Reset()
	if l.Count() != 0 || l.Max() != 0 || l.Mean() != 0 {
		t.Errorf("after a reset: got %+v", l.Summary())
	}
	if n := testing.AllocsPerRun(100, func() { l.Record(time.Millisecond) }); n != 0 {
		t.Errorf("got %g allocations per value, want 0", n)
	}
}

// Whatever the order of results, each request gets its own due time back, and segments complete exactly once.
func TestDueTimesComeBackInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 5*segmentSize).Draw(t, "requests")
		window := rapid.IntRange(1, 3*segmentSize).Draw(t, "in flight")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var d dueTimes
		var flying []uint64
		complete, checked := 0, 0
		take := func() {
			i := rng.IntN(len(flying))
			seq := flying[i]
			flying[i] = flying[len(flying)-1]
			flying = flying[:len(flying)-1]
			due, s := d.take(seq, time.Duration(seq)+5)
			if due != time.Duration(seq)*3 {
				t.Fatalf("request %d: got due time %d, want %d", seq, due, 3*seq)
			}
			if s == nil {
				return
			}
			complete++
			first := s.due[0] / 3
			for i := range segmentSize {
				if s.due[i] != (first+time.Duration(i))*3 || s.sent[i] != first+time.Duration(i)+5 {
					t.Fatalf("segment from %d: got due %d and sent %d at %d", first, s.due[i], s.sent[i], i)
				}
			}
			checked += segmentSize
			d.recycle(s)
		}
		for seq := range total {
			if got := d.push(time.Duration(seq) * 3); got != uint64(len(flying)+1) {
				t.Fatalf("got %d unanswered, want %d", got, len(flying)+1)
			}
			if flying = append(flying, uint64(seq)); len(flying) > window {
				take()
			}
		}
		for len(flying) > 0 {
			take()
		}
		d.rest(func(_ *segment, n int) { checked += n })
		if complete != total/segmentSize || checked != total || d.unanswered() != 0 {
			t.Fatalf("got %d complete segments, %d requests checked, %d unanswered, want %d, %d, 0", complete, checked,
				d.unanswered(), total/segmentSize, total)
		}
	})
}

// checkOf returns the self-check of a burst whose gaps were disturbed by noise.
func checkOf(t *testing.T, b Burst, n int, noise func(int) time.Duration) GapReport {
	t.Helper()
	c, err := newGapCheck(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Arrival.Process(b.Rate, b.Seed)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; i += segmentSize {
		var s segment
		for j := range segmentSize {
			s.due[j], _ = p.Next()
			s.sent[j] = s.due[j] + noise(i+j)
		}
		c.add(&s, min(segmentSize, n-i))
	}
	return c.report()
}

func TestSelfCheckTellsGoodGapsFromBad(t *testing.T) {
	rate := arrival.Constant(1000)
	sine, err := arrival.NewSine(1000, 800, 5*time.Second, 0)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	small := func(int) time.Duration { return time.Duration(rng.Int64N(int64(50 * time.Microsecond))) }
	for _, c := range []struct {
		what  string
		kind  arrival.Kind
		rate  arrival.Rate
		noise func(int) time.Duration
		good  bool
	}{
		{"exact arrivals", arrival.Exp, rate, func(int) time.Duration { return 0 }, true},
		{"a steady delay changes no gap", arrival.Norm, rate, func(int) time.Duration { return 3 * time.Millisecond },
			true},
		{"noise within the tolerance", arrival.Fixed, rate, small, true},
		{"the same for zipf", arrival.Zipf, rate, small, true},
		{"a changing rate", arrival.Exp, sine, small, true},
		{"requests sent in pairs", arrival.Fixed, rate, func(i int) time.Duration {
			return time.Duration(1-i%2) * 900 * time.Microsecond
		}, false},
		{"half of all requests 2 ms late", arrival.Exp, rate, func(i int) time.Duration {
			return time.Duration(i/2%2) * 2 * time.Millisecond
		}, false},
		{"a generator that slows down by a tenth", arrival.Norm, rate, func(i int) time.Duration {
			return time.Duration(i) * 100 * time.Microsecond
		}, false},
		{"a pause of 200 ms in an otherwise exact run", arrival.Norm, rate, func(i int) time.Duration {
			return time.Duration(max(0, 200-max(0, i-5000))) * time.Millisecond * time.Duration(min(1, i/5000))
		}, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := Burst{Arrival: arrival.Spec{Kind: c.kind}, Rate: c.rate, Seed: 3, Duration: time.Hour}
			const n = 3*segmentSize + 100
			r := checkOf(t, b, n, c.noise)
			if r.Faithful != c.good {
				t.Errorf("got p %g, D %g, mean %g, want it accepted: %t", r.KSP, r.KSDTolerant, r.Mean, c.good)
			}
			if r.Count != n-4 || r.Sample != gapSample || math.Abs(r.DrawnMean-1) > 0.05 {
				t.Errorf("got %d gaps, %d tested, drawn mean %g, want %d, %d, about 1", r.Count, r.Sample, r.DrawnMean,
					n-4, gapSample)
			}
			if c.good && (math.Abs(r.Mean/r.DrawnMean-1) > 0.01 || math.Abs(r.CV-r.DrawnCV) > 0.05 ||
				math.Abs(r.DrawnCV-r.TheoryCV) > 0.1) {
				t.Errorf("got mean %g, CV %g, drawn %g, theory %g, want them alike", r.Mean, r.CV, r.DrawnCV,
					r.TheoryCV)
			}
		})
	}
}

// Sleeps that end at the next whole millisecond send whatever became due in it at once: no arrival gets through the
// check.
func TestSelfCheckRejectsSleepsOfAMillisecond(t *testing.T) {
	for _, kind := range arrival.Kinds() {
		for _, perSecond := range []float64{1000, 2000, 5000} {
			b := Burst{Arrival: arrival.Spec{Kind: kind}, Rate: arrival.Constant(perSecond), Seed: 3,
				Duration: time.Hour}
			p, err := b.Arrival.Process(b.Rate, b.Seed)
			if err != nil {
				t.Fatal(err)
			}
			var awake time.Duration
			r := checkOf(t, b, 3*segmentSize, func(int) time.Duration {
				due, _ := p.Next()
				if due > awake {
					awake = due.Truncate(time.Millisecond) + time.Millisecond
				}
				return max(awake, due) - due
			})
			if r.Faithful {
				t.Errorf("%s at %g/s: got p %g, CV %g of %g, want it rejected", kind, perSecond, r.KSP, r.CV, r.DrawnCV)
			}
		}
	}
}

func TestUnsentRequestsAreCounted(t *testing.T) {
	process, err := arrival.New(arrival.Fixed, arrival.Constant(100), 1)
	if err != nil {
		t.Fatal(err)
	}
	p := &pacer{process: process, start: time.Second, duration: 2 * time.Second}
	for range 50 {
		process.Next()
	}
	if got := p.unsent(3 * time.Second); got != 150 {
		t.Errorf("50 of 200 sent: got %d unsent, want 150", got)
	}
	fast, err := arrival.New(arrival.Fixed, arrival.Constant(1e9), 1)
	if err != nil {
		t.Fatal(err)
	}
	p = &pacer{process: fast, duration: time.Minute}
	if got := float64(p.unsent(time.Minute)); math.Abs(got/60e9-1) > 1e-6 {
		t.Errorf("a thousand million a second: got %g unsent in a minute, want 6e10", got)
	}
}
