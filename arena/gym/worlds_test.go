package gym

import (
	"math"
	"slices"
	"testing"
	"time"

	"trimtab/arena/autoscale"
	"trimtab/arena/edge"
)

// edgeCloud is the built-in world of edge and cloud, for 20 s.
func edgeCloud(t testing.TB) *edge.World {
	t.Helper()
	w, err := edge.Load(edge.EdgeCloud)
	if err != nil {
		t.Fatal(err)
	}
	w.Duration = edge.Duration(20 * time.Second)
	return w
}

// autoscaled is the built-in world of autoscaled microservices, for five minutes.
func autoscaled(t testing.TB) *autoscale.World {
	t.Helper()
	w, err := autoscale.Load(autoscale.Autoscaled)
	if err != nil {
		t.Fatal(err)
	}
	w.Minutes = 5
	return w
}

// always places every request alike.
type always struct{ place edge.Place }

func (a always) Place(*edge.Request, []int) edge.Place { return a.place }
func (always) Done(*edge.Outcome)                      {}

// The environment plays the world: the rewards of a run sum to its score.
func TestTheEdgeIsTheWorld(t *testing.T) {
	t.Parallel()
	w := edgeCloud(t)
	for _, c := range []struct {
		name   string
		choice int
	}{{"the first model of the first server", 0}, {"denying", len(w.Choices()) - 1}} {
		t.Run(c.name, func(t *testing.T) {
			want, err := w.Play(always{w.Choices()[c.choice]}, 3)
			if err != nil {
				t.Fatal(err)
			}
			e, err := newEdge(w, 0)
			if err != nil {
				t.Fatal(err)
			}
			first, _, err := e.Reset(3)
			if err != nil {
				t.Fatal(err)
			}
			if again, _, err := e.Reset(3); err != nil || !slices.Equal(first, again) {
				t.Errorf("the same seed: got %v and %v, %v", first, again, err)
			}
			sum, n := 0.0, 0
			for ended := false; !ended; n++ {
				s, err := e.Step([]float64{float64(c.choice)})
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Observation) != e.Spec().Observation.Width() || s.Terminated {
					t.Fatalf("step %d: got %+v", n, s)
				}
				sum, ended = sum+s.Reward, s.Truncated
			}
			if n != want.Requests || math.Abs(sum/float64(n)-want.Value()) > 1e-9 {
				t.Errorf("got %d steps and a score of %.4f, want %d and %.4f", n, sum/float64(n), want.Requests,
					want.Value())
			}
			if _, err := e.Step([]float64{0}); err == nil {
				t.Error("a step after the end: got no error")
			}
		})
	}
}

// keep asks for the same size of every service.
type keep struct{ size autoscale.Size }

func (k keep) Scale(s *autoscale.Seen) []autoscale.Size {
	return slices.Repeat([]autoscale.Size{k.size}, len(s.Sizes))
}

// The environment plays the world: its rewards are those of the intervals after the first.
func TestAutoscalingIsTheWorld(t *testing.T) {
	t.Parallel()
	w := autoscaled(t)
	want, err := w.Play(keep{autoscale.Size{Replicas: 4, CPU: 1}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVec(Options{Env: AutoscaleID, Autoscale: w, Envs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Reset([]uint64{3, 4}); err != nil {
		t.Fatal(err)
	}
	action := slices.Repeat([]float64{4, 1}, len(w.Services))
	if _, err := v.Step([][]float64{action, slices.Repeat([]float64{0, 1}, len(w.Services))}); err == nil {
		t.Error("no replica: got no error")
	}
	intervals := w.Minutes * 60 / w.IntervalSec
	sum := 0.0
	for n := 1; ; n++ {
		s, err := v.Step([][]float64{action, action})
		if err != nil {
			t.Fatal(err)
		}
		sum += s.Rewards[0]
		if s.Truncated[0] {
			if n != int(intervals)-1 || s.Final[0] == nil {
				t.Errorf("truncated after %d steps, want %v", n, intervals-1)
			}
			break
		}
	}
	if first := want.Reward*intervals - sum; first < 0 || first > 1 {
		t.Errorf("rewards: got %.4f beside the first interval's, want %.4f with it", sum, want.Reward*intervals)
	}
}
