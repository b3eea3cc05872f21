package autoscale

import (
	"math"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// builtIn is the built-in world.
func builtIn(t *testing.T) *World {
	t.Helper()
	w, err := Load(Autoscaled)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

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
	w := builtIn(t)
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
	w := builtIn(t)
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
		t.Errorf("share of intervals within the objective: got fixed %.2f, threshold %.2f, planner %.2f", small.Met,
			threshold.Met, planner.Met)
	}
	if !(planner.Reward > threshold.Reward && threshold.Reward > small.Reward) {
		t.Errorf("rewards: got planner %.3f, threshold %.3f, fixed %.3f, want them in that order", planner.Reward,
			threshold.Reward, small.Reward)
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
		t.Errorf("reward of the learner after 6 runs: got %.3f, want above the %.3f of one slow replica each",
			got.Reward, small.Reward)
	}
	w.Base = 0
	if _, err := w.Play(l, 1); err == nil {
		t.Error("a world without load: got no error")
	}
}

func TestWorldsInFilesAreChecked(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"an unknown key", "visits = 0.8", "visit = 0.8", "unknown key"},
		{"no load", "rate = 45", "rate = 0", "load above 0"},
		{"a swing beyond the load", "swing = 30", "swing = 50", "no swing beyond it"},
		{"no replicas", "capacity = { max = 10 }", "capacity = { max = 0 }", "at least one replica"},
		{"two services of a name", `name = "cart"`, `name = "gateway"`, "a name of its own"},
		{"a run shorter than an interval", `duration = "60m"`, `duration = "10s"`, "an interval at least"},
		{"no number", "rate = 45", "rate = nan", "load.rate: NaN: want a finite number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(autoscaled, c.from, c.to, 1)
			if _, err := Parse("w", text); text == autoscaled || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzWorlds(f *testing.F) {
	f.Add(autoscaled)
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := Parse("fuzz", text); err == nil && w.Validate() != nil {
			t.Errorf("%q is parsed and not valid", text)
		}
	})
}

// The emulated world plays what the simulated one does: the same requests, which ask as much of every service.
func TestBothWorldsPlayAlike(t *testing.T) {
	t.Parallel()
	w := builtIn(t)
	w.Minutes, w.Base, w.Swing, w.Bursts = 1, 8, 0, 0
	const scale = 0.08
	b, err := StartBackends(w, scale)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	want, err := w.Play(fixed{Size{3, 1}}, 4)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Emulate(t.Context(), fixed{Size{3, 1}}, 4, b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Came != want.Came || got.Changes != want.Changes || got.CPUs != want.CPUs {
		t.Errorf("got %+v, want %+v: as many requests, changes and processors", got, want)
	}
	// A busy machine answers later and so leaves more for after the end; nothing makes it faster.
	if got.Requests < want.Requests/2 || got.Requests > want.Requests+5 || got.MeanMS < 0.8*want.MeanMS ||
		got.Utilisation > 1.1*want.Utilisation || got.Utilisation < want.Utilisation/2 {
		t.Errorf("got %+v, want about %+v", got, want)
	}
	t.Logf("simulated %+v, emulated %+v", want, got)
}

// What is given up at the end of a run, or when its context ends, leaves nothing behind.
func TestWhatIsGivenUpEnds(t *testing.T) {
	t.Parallel()
	w := builtIn(t)
	w.Minutes, w.Base, w.Swing, w.Bursts = 0.5, 20, 0, 0
	b, err := StartBackends(w, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Emulate(t.Context(), fixed{Size{1, 0}}, 4, b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Came < 400 || got.Requests >= got.Came {
		t.Errorf("one slow replica each: got %+v, want more to come than are answered", got)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for i, s := range b.services {
		for end := time.Now().Add(30 * time.Second); ; <-time.After(5 * time.Millisecond) {
			busy, waiting := s.gate.Count()
			if busy == 0 && waiting == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("service %d: got %d in service and %d waiting, want nobody", i, busy, waiting)
			}
		}
	}
}
