package tuner_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/weights"
)

// TestRefusedChangesCostNothing decides changes that never come into force: they are asked for again, and the budget
// stays full.
func TestRefusedChangesCostNothing(t *testing.T) {
	good, slow := [3]float64{300, 20, 0}, [3]float64{300, 80, 0}
	for _, c := range []struct {
		name      string
		committed bool
		left      int // changes
	}{
		{"a change that is in force is paid for", true, 5},
		{"a change that was refused is not", false, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTuner(t, nil)
			current, wanted := []int{1, 1}, 0
			for range 6 {
				s := synthetic(current, good, slow)
				d := decide(p, s)
				if bounded(p.Explain(), gate.BoundOperator) {
					t.Fatal("nobody edited weights: got an operator's edit")
				}
				if len(d.Weights) == 0 {
					continue
				}
				wanted++
				if c.committed {
					current = commit(p, s, d.Weights)
					break
				}
			}
			if wanted == 0 || !c.committed && wanted < 2 {
				t.Fatalf("one server four times slower: got %d decisions to change (%s), want it asked for until it is in force", wanted, p.Explain().Reason)
			}
			decide(p, synthetic(current, good, good))
			if got := p.Explain().Budget; got != c.left {
				t.Errorf("got %d changes left, want %d", got, c.left)
			}
			if bounded(p.Explain(), gate.BoundOperator) {
				t.Error("nobody edited weights: got an operator's edit")
			}
		})
	}
}

// refusing is an actuator that fails until it is mended.
type refusing struct {
	*world
	until time.Duration
}

func (r refusing) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
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
		if e := p.Explain(); w.Now() < 90*time.Second && (e.Budget != 6 || bounded(e, gate.BoundOperator)) {
			t.Fatalf("at %v, nothing was ever applied: %d changes left (%s), want all 6", w.Now(), e.Budget, e.Reason)
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

// TestObserveLearnsWithoutDeciding shows equal weights for half a minute before the first decision: it must be as good
// as one that follows decisions, and the whole burst must still be there.
func TestObserveLearnsWithoutDeciding(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.45, time.Minute)
	w := newWorld(t, sc, 1, "")
	p := tunerFor(t, sc, "", nil)
	for range 10 {
		s, err := w.Sample(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p.Observe(s, control.InForce(s)) // and nobody asks what it wants
	}
	s, err := w.Sample(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	d := decide(p, s)
	got := d.Weights["compose_backend"]
	if a, c := got["s00"].Weight.Int(), got["s02"].Weight.Int(); len(got) == 0 || float64(c) < 2*float64(a) {
		t.Errorf("first decision: got %v (%s), want at least 1:2 for capacities 1 and 4", got, d.Reason)
	}
	if left := p.Explain().Budget; left != 6 {
		t.Errorf("before the first change is committed %d are left of the burst, want 6", left)
	}
	p.Committed(control.Receipt{Want: d.Weights, Changed: true})
	if s, err = w.Sample(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.Observe(s, d.Weights)
	if left := p.Explain().Budget; left != 5 {
		t.Errorf("after the first change %d are left of the burst, want 5", left)
	}
}

// TestLongGapDoubtsWhatWasLearned lets the telemetry come back after 20 minutes with one sample: of what was known
// before, less counts. Usually the sample covers the gap; it does not when NGINX was started anew meanwhile.
func TestLongGapDoubtsWhatWasLearned(t *testing.T) {
	doubt := func(gap time.Duration, covered bool) float64 {
		p := newTuner(t, nil)
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		feed := func(requests float64, interval time.Duration) {
			s := synthetic([]int{3, 3}, [3]float64{requests, 20, 0}, [3]float64{requests, 22, 0})
			s.At, s.Interval = at, interval
			decide(p, s)
		}
		for range 10 {
			feed(300, 3*time.Second)
			at = at.Add(3 * time.Second)
		}
		at = at.Add(gap)
		if covered {
			feed(3, gap)
		} else {
			feed(3, 3*time.Second)
		}
		return p.Explain().Pools[0].Servers[0].ServiceSD["g"]
	}
	for _, c := range []struct {
		name    string
		covered bool
	}{
		{"the sample covers the gap", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			short, long := doubt(time.Minute, c.covered), doubt(20*time.Minute, c.covered)
			if short > 0.1 {
				t.Errorf("a gap of a minute: the log service time is known within %.3f, want at most 0.1", short)
			}
			if long < 1.4*short {
				t.Errorf("a gap of 20 minutes: the log service time is known within %.3f against %.3f after one, want at least 1.4 times that", long, short)
			}
		})
	}
}

func TestContinueRenewsNoBudget(t *testing.T) {
	p := newTuner(t, nil)
	slow := synthetic([]int{1, 1, 1}, [3]float64{300, 20, 0}, [3]float64{300, 20, 0}, [3]float64{300, 900, 0})
	for range 3 {
		if d := decide(p, slow); len(d.Weights) > 0 {
			commit(p, slow, d.Weights)
			break
		}
	}
	decide(p, slow)
	left := p.Explain().Budget
	if left >= 6 {
		t.Fatalf("a server much slower than the others: got %d changes left, want some made", left)
	}
	next := newTuner(t, func(c *tuner.Config) { c.Headroom = 1.3 })
	if err := next.Continue(p); err != nil {
		t.Fatal(err)
	}
	decide(next, slow)
	if got := next.Explain().Budget; got > left {
		t.Errorf("got %d changes left after Continue, want at most the %d of before", got, left)
	}
}
