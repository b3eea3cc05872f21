package tuner_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/vts"
)

// TestFailedApplyIsNotCredited decides a change that never comes into force.
func TestFailedApplyIsNotCredited(t *testing.T) {
	good, slow := [3]float64{300, 20, 0}, [3]float64{300, 80, 0}
	for _, c := range []struct {
		about string
		apply bool
		want  string
	}{
		{"a change that is in force is credited", true, ""},
		{"a change that failed is not: the base is still in force", false, "base"},
	} {
		p := newTuner(t, nil)
		weights := []int{1, 1}
		d := decide(p, synthetic(weights, good, slow))
		if len(d.Weights) == 0 {
			t.Fatalf("%s: one server four times slower: got no change (%s)", c.about, d.Reason)
		}
		chosen := p.Explain().Pools[0].Chosen
		s := synthetic(weights, good, slow)
		if c.apply {
			for i := range s.Groups[0].Peers {
				s.Groups[0].Peers[i].Weight = d.Weights["g"][s.Groups[0].Peers[i].Server].Weight.Int()
			}
		}
		decide(p, s)
		want := c.want
		if want == "" {
			want = chosen
		}
		if e := p.Explain().Pools[0]; e.InForce != want {
			t.Errorf("%s: in force is %s, want %s", c.about, e.InForce, want)
		}
	}
}

// refusing is an actuator that fails until it is mended.
type refusing struct {
	*world
	until time.Duration
}

func (r refusing) Apply(ctx context.Context, w tuner.Weights) (control.Receipt, error) {
	if r.Now() < r.until {
		return control.Receipt{}, errors.New("nginx -t: no space left on device")
	}
	return r.world.Apply(ctx, w)
}

func TestChangesAreTriedAgainAfterFailedOnes(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.6, 4*time.Minute)
	w := newWorld(t, sc, 1, "")
	p := tunerFor(t, sc, "", nil)
	loop := control.NewLoop(w, p, refusing{w, 90 * time.Second})
	failed := 0
	for !w.Done() {
		_, err := loop.Step(context.Background())
		if errors.Is(err, control.ErrApply) {
			failed++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if e := p.Explain(); w.Now() < 90*time.Second && failed > 0 && !e.Changed && len(e.Pools) > 0 && e.Pools[0].InForce != "base" {
			t.Fatalf("at %v, nothing was ever applied: in force is %s, want base", w.Now(), e.Pools[0].InForce)
		}
	}
	if failed == 0 || len(w.changes) == 0 {
		t.Fatalf("%d failed and %d successful changes, want both", failed, len(w.changes))
	}
	end := w.Weights()["compose_backend"]
	if a, c := end["s00"].Weight, end["s02"].Weight; float64(c) < 2.4*float64(a) {
		t.Errorf("after the actuator was mended: weights %d and %d for capacities 1 and 4, want at least 1:2.4", a, c)
	}
}

// TestObserveLearnsWithoutDeciding shows equal weights for half a minute before the first decision: it must be as good as
// one that follows decisions, and the whole burst must still be there.
func TestObserveLearnsWithoutDeciding(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.45, time.Minute)
	w := newWorld(t, sc, 1, "")
	p := tunerFor(t, sc, "", nil)
	for range 10 {
		s, err := w.Sample(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p.Tuner.Observe(tuner.Observation{Sample: s, Current: control.InForce(s)})
		if e := p.Explain(); e.Changed {
			t.Fatalf("at %v: an observation changed weights", w.Now())
		}
	}
	s, err := w.Sample(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(tuner.Observation{Sample: s, Current: control.InForce(s)})
	got := d.Weights["compose_backend"]
	if a, c := got["s00"].Weight.Int(), got["s02"].Weight.Int(); len(got) == 0 || float64(c) < 2*float64(a) {
		t.Errorf("first decision: got %v (%s), want at least 1:2 for capacities 1 and 4", got, d.Reason)
	}
	if left := p.Explain().Budget; left != 5 {
		t.Errorf("after the first change %d are left of the burst, want 5", left)
	}
}

// TestLongGapDoubtsWhatWasLearned lets the telemetry come back after ten minutes with a sample that says nothing new of
// the slow server: its known speed must not part the classes until it has been seen again.
func TestLongGapDoubtsWhatWasLearned(t *testing.T) {
	known := func(gap time.Duration) float64 {
		p := newTuner(t, nil)
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		feed := func(s vts.Sample) {
			s.At = at
			decide(p, s)
		}
		for range 10 {
			feed(synthetic([]int{3, 3}, [3]float64{300, 20, 0}, [3]float64{300, 22, 0}))
			at = at.Add(3 * time.Second)
		}
		at = at.Add(gap)
		feed(synthetic([]int{3, 3}, [3]float64{300, 20, 0}, [3]float64{300, 22, 0}))
		snapshot, err := p.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, point := range snapshot.Servers[0].Points {
			sum += point.Intervals
		}
		return sum
	}
	short, long := known(time.Minute), known(20*time.Minute)
	if short < 8 {
		t.Errorf("a gap of a minute: %.1f intervals are known, want more than 8 of 11", short)
	}
	if long > 0.5*short {
		t.Errorf("a gap of 20 minutes: %.1f intervals are known against %.1f without, want less than half", long, short)
	}
}

func TestContinueRenewsNoBudget(t *testing.T) {
	p := newTuner(t, nil)
	slow := synthetic([]int{1, 1, 1}, [3]float64{300, 20, 0}, [3]float64{300, 20, 0}, [3]float64{300, 900, 0})
	for range 3 {
		decide(p, slow)
	}
	left := p.Explain().Budget
	if left >= 6 {
		t.Fatalf("a server much slower than the others: got %d changes left, want some made", left)
	}
	next := newTuner(t, func(c *tuner.Config) { c.Headroom = 1.3 })
	if err := next.Continue(p.Tuner); err != nil {
		t.Fatal(err)
	}
	decide(next, slow)
	if got := next.Explain().Budget; got > left {
		t.Errorf("got %d changes left after Continue, want at most the %d of before", got, left)
	}
}
