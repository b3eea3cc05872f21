package autoscale

import (
	"math"
	"testing"
)

// fixed keeps one size.
type fixed struct{ size Size }

func (f fixed) Scale(s *Seen) []Size {
	out := make([]Size, len(s.Sizes))
	for i := range out {
		out[i] = f.size
	}
	return out
}

func TestRewardIsAsItWasPublished(t *testing.T) {
	w := Default()
	for _, c := range []struct {
		name        string
		mean        float64
		utilisation []float64
		want        float64
	}{
		{"within the objective and busy", 0.4, []float64{1, 1}, 1},
		{"within the objective and idle", 0.1, []float64{0, 0}, 0.5},
		{"twice the objective and busy", 0.8, []float64{1, 1}, math.Exp(-1)},
		{"half busy", 0.1, []float64{0, 1}, 1 / 1.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := w.Reward(c.mean, c.utilisation); math.Abs(got-c.want) > 1e-12 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// One service under a steady load is M/G/c: Allen and Cunneen's mean is within some per cent of the simulation.
func TestTheWorldQueuesAsTheorySays(t *testing.T) {
	w := &World{Services: []Service{{"s", 0.1, 1, 8}}, Minutes: 200, IntervalSec: 15, ObjectiveSec: 0.4, Base: 24}
	got, err := w.Play(fixed{Size{3, 1}}, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := 1e3 * waitAndService(24, 0.1, 3)
	if math.Abs(got.MeanMS-want) > 0.12*want || math.Abs(got.Utilisation-0.8) > 0.02 {
		t.Errorf("mean %.1f ms at %.3f: got, want %.1f ms at 0.8", got.MeanMS, got.Utilisation, want)
	}
}

func TestScalersMeetTheObjective(t *testing.T) {
	w := Default()
	w.Minutes = 30
	play := func(p Policy) Result {
		r, err := w.Play(p, 2)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	small, threshold, planner := play(fixed{Size{1, 0}}), play(NewThreshold(w, 0)), play(NewPlanner(w))
	if small.Met > 0.5 || threshold.Met < 0.7 || planner.Met < 0.8 {
		t.Errorf("share of intervals within the objective: got fixed %.2f, threshold %.2f, planner %.2f", small.Met, threshold.Met, planner.Met)
	}
	if !(planner.Reward > threshold.Reward && threshold.Reward > small.Reward) {
		t.Errorf("rewards: got planner %.3f, threshold %.3f, fixed %.3f, want them in that order", planner.Reward, threshold.Reward, small.Reward)
	}
	if again := play(NewThreshold(w, 0)); again != threshold {
		t.Errorf("the same seed: got %+v and %+v", again, threshold)
	}
	l, err := NewLearner(w, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Train(6, 1000); err != nil {
		t.Fatal(err)
	}
	if got := play(l); got.Reward <= small.Reward {
		t.Errorf("reward of the learner after 6 runs: got %.3f, want above the %.3f of one slow replica each", got.Reward, small.Reward)
	}
	w.Base = 0
	if _, err := w.Play(l, 1); err == nil {
		t.Error("a world without load: got no error")
	}
}
