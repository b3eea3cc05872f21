package rehearse

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/weights"
)

// small is a world of one upstream over three servers of the given slots at a part of their capacity.
func small(used float64, slots ...int) *deathstarbench.Scenario {
	s := &deathstarbench.Scenario{
		Name: "small", Duration: deathstarbench.Duration(time.Hour),
		ControlInterval: deathstarbench.Duration(3 * time.Second),
		Upstreams: []deathstarbench.Upstream{{Name: "app", Workload: "w",
			Deadline: deathstarbench.Duration(150 * time.Millisecond)}},
	}
	total := 0
	for i, n := range slots {
		name := string(rune('a' + i))
		s.Servers = append(s.Servers, deathstarbench.Server{Name: name, Slots: n, ServiceCV: 0.5,
			Service: map[string]deathstarbench.Duration{"w": deathstarbench.Duration(40 * time.Millisecond)}})
		s.Upstreams[0].Servers = append(s.Upstreams[0].Servers, name)
		total += n
	}
	s.Loads = []deathstarbench.Traffic{{Workload: "w",
		Phases: []deathstarbench.Phase{{Rate: used * float64(total) / 0.040}}}}
	return s
}

var plan = prove.Plan{Block: 39 * time.Second, WashOut: 12 * time.Second, Duration: 35 * time.Minute,
	LeastRequests: 200}

func proportional(t *testing.T, list ...int) weights.Set {
	t.Helper()
	g := weights.Group{}
	for i, n := range list {
		w, err := weights.New(n)
		if err != nil {
			t.Fatal(err)
		}
		g[string(rune('a'+i))] = weights.Setting{Weight: w}
	}
	return weights.Set{"app": g}
}

// play plays so many experiments, each with its own seed and a policy of its own.
func play(t *testing.T, runs int, sc *deathstarbench.Scenario, p prove.Plan,
	policy func() control.Policy) []prove.Result {
	t.Helper()
	out := make([]prove.Result, runs)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range out {
		group.Go(func() error {
			x, err := Play(t.Context(), sc, p, uint64(1000+i), policy())
			if err == nil {
				out[i] = x.Result()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return out
}

// runs is how many experiments are played: 20, or as many as make prove-runs asks for.
func runs(t *testing.T) int {
	t.Helper()
	n := 20
	if text := os.Getenv("TRIMTAB_PROVE_RUNS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("TRIMTAB_PROVE_RUNS=%s: want a number of experiments", text)
		}
	}
	return n
}

// The Show of the experiment: with equal servers it finds nothing.
func TestEqualServersShowNoDifference(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy func() control.Policy
	}{
		{"other weights that are as good", func() control.Policy { return &Fixed{Want: proportional(t, 20, 20, 20)} }},
		{"a tuner that has nothing to gain", func() control.Policy {
			p, err := tuner.New(tuner.Config{Seed: 3})
			if err != nil {
				t.Error(err)
			}
			return p
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n, found := runs(t), 0
			for _, r := range play(t, n, small(0.65, 4, 4, 4), plan, c.policy) {
				if r.Verdict == prove.Better || r.Verdict == prove.Worse {
					found++
					t.Log(r.Headline())
				}
			}
			t.Logf("equal servers: %d of %d experiments find a difference", found, n)
			if found > max(1, n/20) {
				t.Errorf("%d of %d experiments find a difference that is not there, want at most 5 %%", found, n)
			}
		})
	}
}

// With capacity 1:2:4 it finds the effect, and its interval holds the true one.
func TestUnequalServersShowTheEffect(t *testing.T) {
	sc := small(0.35, 2, 4, 8)
	want := proportional(t, 8, 16, 32)
	for _, m := range []prove.Measure{prove.P99, prove.Mean, prove.ART} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			p := plan
			p.Measure, p.Deadlines = m, map[string]float64{"app": 150}
			truth, stderr, err := Truth(t.Context(), sc, want, p, m, 600, 5)
			if err != nil {
				t.Fatal(err)
			}
			if m != prove.ART {
				truth = math.Expm1(truth)
			}
			n, found, held, pairs := runs(t), 0, 0, 0
			for _, r := range play(t, n, sc, p, func() control.Policy { return &Fixed{Want: want} }) {
				e := r.Decides
				pairs += e.Pairs
				if r.Verdict == prove.Better {
					found++
				}
				if e.Low != nil && *e.Low <= truth && truth <= *e.High {
					held++
				} else {
					t.Logf("truth %.4f: %s", truth, r.Headline())
				}
			}
			t.Logf("capacity 1:2:4, %s: true change %.4f (standard error of its logarithm %.4f); %d of %d find it, "+
				"%d intervals hold it, %.1f pairs",
				m, truth, stderr, found, n, held, float64(pairs)/float64(n))
			// Tardiness counts the few requests beyond a deadline: it needs longer experiments than these.
			if m != prove.ART && found < n*95/100 || held < n*93/100 {
				t.Errorf("%d of %d find the effect, %d intervals hold it: want at least 95 %% and 93 %%", found, n,
					held)
			}
		})
	}
}
