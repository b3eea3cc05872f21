package pursuit_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/tuner/plan"
	"trimtab/words"
)

// mesh is the world of the published scenarios at a load.
func mesh(t testing.TB, kind string, one, two float64) (pursuit.World, objective.Objective) {
	t.Helper()
	sc, err := deathstarbench.Load("mesh-" + kind)
	if err != nil {
		t.Fatal(err)
	}
	o, err := objective.New(sc.Spec())
	if err != nil {
		t.Fatal(err)
	}
	w := pursuit.FromScenario(sc, 0)
	w.Services[0].OfferedPerSec, w.Services[1].OfferedPerSec = one, two
	return w, o
}

func TestPredictionsAgainstTheTwin(t *testing.T) {
	for _, c := range []struct {
		name     string
		one, two float64
		blocked  float64 // of the second
		most     float64 // relative error of delays
	}{
		{"light load", 5, 5, 0, 0.02}, {"half of it", 10, 10, 0, 0.04}, {"much of the first", 20, 5, 0, 0.05},
		{"all of it, a part refused", 20, 20, 0.4, 0.12},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, o := mesh(t, "throughput", c.one, c.two)
			s := w.Start()
			s.Blocked[1] = c.blocked
			want, err := w.Play(&s, o, 10*time.Second, 200, 3)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := w.Predict(&s, o.Terms(), 10)
			for k := range got.Services {
				g, v := got.Services[k], want.Mean.Services[k]
				if math.Abs(g.DelaySec/v.DelaySec-1) > c.most || math.Abs(g.CarriedPerSec/v.CarriedPerSec-1) > 0.05 {
					t.Errorf("%s: predicted %.1f ms and %.2f/s carried, the twin says %.1f and %.2f", g.Name,
						g.DelaySec*1e3, g.CarriedPerSec, v.DelaySec*1e3, v.CarriedPerSec)
				}
			}
		})
	}
}

// The search is within 1 % of the best of the whole grid, every point of a coarse one played on the twin.
func TestSearchFindsTheBestOfTheGrid(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays every point of a grid")
	}
	for _, c := range []struct{ one, two float64 }{{10, 10}, {20, 20}, {5, 20}} {
		t.Run(fmt.Sprintf("%v and %v per second", c.one, c.two), func(t *testing.T) {
			t.Parallel()
			w, o := mesh(t, "throughput", c.one, c.two)
			for k := range w.Services {
				w.Services[k].Admission.Step = 0.2
			}
			found, err := pursuit.Search([]pursuit.World{w}, o, pursuit.Options{Interval: 10 * time.Second, Steps: 4})
			if err != nil {
				t.Fatal(err)
			}
			best := math.Inf(-1)
			rows := [][]int{{1, 100}, {1, 3}, {1, 1}, {3, 1}, {100, 1}}
			for _, a := range rows {
				for _, b := range rows {
					for x := 0.0; x <= 1; x += 0.2 {
						for y := 0.0; y <= 1; y += 0.2 {
							s := pursuit.Setting{Weights: [][]int{a, b}, Blocked: []float64{math.Min(x, 1),
								math.Min(y, 1)}, Units: []int{0, 0}}
							v, err := w.Play(&s, o, 10*time.Second, 40, 9)
							if err != nil {
								t.Fatal(err)
							}
							best = math.Max(best, v.Reward)
						}
					}
				}
			}
			got, err := w.Play(&found.Setting, o, 10*time.Second, 40, 9)
			if err != nil {
				t.Fatal(err)
			}
			if got.Reward < 0.99*best {
				t.Errorf("%v gives %.3f, the best of the grid %.3f", found.Setting, got.Reward, best)
			}
		})
	}
}

// Nothing that was not allowed is used, whatever world and limits.
func TestSearchKeepsToTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := pursuit.World{}
		servers, services := rapid.IntRange(1, 4).Draw(t, "servers"), rapid.IntRange(1, 3).Draw(t, "services")
		for j := range servers {
			s := pursuit.Server{Name: fmt.Sprint("s", j), Slots: rapid.IntRange(1, 8).Draw(t, "slots"), SCV: 0.1}
			for range services {
				s.ServiceSec = append(s.ServiceSec, rapid.Float64Range(0.005, 0.2).Draw(t, "service"))
			}
			if rapid.Bool().Draw(t, "scaled") {
				low := rapid.IntRange(1, 3).Draw(t, "least")
				s.Scaling = control.ScalingLimits{Min: low, Max: low + rapid.IntRange(0, 3).Draw(t, "more")}
			}
			w.Servers = append(w.Servers, s)
		}
		spec := objective.Spec{Kind: rapid.SampledFrom([]string{objective.KindThroughput, objective.KindCost,
			objective.KindDelayBound}).Draw(t, "kind"), Upstreams: map[string]objective.Terms{}}
		for k := range services {
			v := pursuit.Service{Name: fmt.Sprint("u", k), Method: plan.RoundRobin, OfferedPerSec: rapid.Float64Range(0,
				50).Draw(t, "load"),
				Admission: control.AdmissionLimits{Most: rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "most"),
					Step: 0.1}}
			for j := range servers {
				v.Links = append(v.Links, pursuit.Link{Server: j})
			}
			w.Services = append(w.Services, v)
			spec.Upstreams[v.Name] = objective.Terms{Bound: 100 * time.Millisecond, Importance: 1}
		}
		o, err := objective.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		f, err := pursuit.Search([]pursuit.World{w}, o, pursuit.Options{Candidates: 3, Intervals: 4, Steps: 3})
		if err != nil {
			t.Fatal(err)
		}
		for k := range w.Services {
			if b := f.Setting.Blocked[k]; b < 0 || b > w.Services[k].Admission.Most {
				t.Fatalf("service %d: %v refused, at most %v may be", k, b, w.Services[k].Admission.Most)
			}
			for _, n := range f.Setting.Weights[k] {
				if n < 1 || n > 100 {
					t.Fatalf("service %d: weights %v", k, f.Setting.Weights[k])
				}
			}
		}
		for j := range w.Servers {
			l, n := w.Servers[j].Scaling, f.Setting.Units[j]
			if l.On() && (n < l.Min || n > l.Max) || !l.On() && n != 0 {
				t.Fatalf("server %d: %d units, %d to %d may be", j, n, l.Min, l.Max)
			}
		}
	})
}

// played is what became of a policy in the simulator.
func played(t *testing.T, name string, minutes int, policy string, change func(*deathstarbench.Scenario)) []*arena.Row {
	t.Helper()
	sc, err := deathstarbench.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(sc)
	}
	if err := sc.Shorten(time.Duration(minutes)*time.Minute, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	policies, err := arena.ParsePolicies(policy, arena.Choosers(nil))
	if err != nil {
		t.Fatal(err)
	}
	var rows []*arena.Row
	err = arena.Play(t.Context(), arena.Config{Scenarios: []*deathstarbench.Scenario{sc}, Policies: policies,
		Seeds:    []uint64{1},
		NewWorld: func() (arena.World, error) { return arena.NewSimWorld(arena.SimOptions{Live: true}), nil },
		OnRow:    func(r arena.Row, _ *arena.Trace) error { rows = append(rows, &r); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestThePolicyNearsTheOptimum(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays half an hour of each scenario")
	}
	for _, c := range []struct {
		name  string
		least float64
	}{{"mesh-throughput-unseen", 0.96}, {"mesh-guarantee", 0.97}, {"mesh-compute", 0.9}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rows := played(t, c.name, 25, "optimal,pursue", nil)
			o := rows[len(rows)-1].Objective
			if o == nil || o.ShareOfOptimal == nil || *o.ShareOfOptimal < c.least {
				t.Errorf("got %+v, want at least %v of the optimum", o, c.least)
			}
		})
	}
}

// ready is a policy that has watched a steady load for some minutes.
func ready(t *testing.T, change func(*pursuit.Config, *deathstarbench.Scenario)) (*pursuit.Policy, *arena.Loop,
	func() control.Decision) {
	t.Helper()
	sc, err := deathstarbench.Load("mesh-throughput")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sc.Loads {
		sc.Loads[i].Phases = []deathstarbench.Phase{{Rate: 20}}
	}
	cfg := pursuit.Config{Admission: sc.Blockable(), Search: pursuit.Options{Interval: sc.ControlInterval.Std()},
		Tuner: tuner.Config{Unlimited: true, Regimes: load.RegimeConfig{Observe: -1}}}
	if cfg.Objective, err = objective.New(sc.Spec()); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&cfg, sc)
	}
	p, err := pursuit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	world := arena.NewSimWorld(arena.SimOptions{Live: true})
	if err := world.Reset(context.Background(), arena.Run{Scenario: sc, Seed: 5}); err != nil {
		t.Fatal(err)
	}
	l := &arena.Loop{World: world, Policy: p, Scenario: sc}
	return p, l, func() control.Decision {
		if _, _, err := l.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		return p.Choose()
	}
}

func TestDecisionsSayWhatIsUsedAndWhyNot(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pursuit.Config, *deathstarbench.Scenario)
		blocks bool
		reason string // some decision says so; empty: any
	}{
		{"more than fits: a part is refused", nil, true, "throughput: "},
		{"admission that is off refuses nobody", func(c *pursuit.Config, _ *deathstarbench.Scenario) {
			c.Admission = nil
		}, false, "is missed by"},
		{"and what could be met instead is said", func(c *pursuit.Config, _ *deathstarbench.Scenario) {
			c.Admission = nil
		}, false, " ms could be met"},
		{"a bound that no load is light enough for is held, and nobody refused",
			func(c *pursuit.Config, sc *deathstarbench.Scenario) {
				sc.Upstreams[0].Objective.Bound,
					sc.Upstreams[0].Objective.Knee = deathstarbench.Duration(20*time.Millisecond), 0
				c.Objective, _ = objective.New(sc.Spec())
			}, false, "20.0 ms, cannot be met at any load: a request takes "},
		{"the load is watched first", func(c *pursuit.Config, _ *deathstarbench.Scenario) { c.Watch = time.Hour },
			false, "watching the load for another"},
		{"an upstream that the objective does not name", func(c *pursuit.Config, sc *deathstarbench.Scenario) {
			spec := sc.Spec()
			delete(spec.Upstreams, "information2")
			c.Objective, _ = objective.New(spec)
		}, false, "has no place in the objective"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, loop, step := ready(t, c.change)
			said, blocked := false, false
			for range 24 {
				d := step()
				said = said || strings.Contains(d.Reason, c.reason)
				for name, share := range loop.Levels.Blocked {
					blocked = blocked || share > 0
					if most := 1.0; share > most {
						t.Errorf("%v of %s is refused", share, name)
					}
				}
			}
			if !said || blocked != c.blocks {
				t.Errorf("refused: %t, want %t; it says %q, want %q", blocked, c.blocks, p.Choose().Reason, c.reason)
			}
			if e := p.Explain(); e.Objective == nil || e.Objective.Kind != objective.KindThroughput || e.Reason == "" {
				t.Errorf("the explanation says nothing: %+v", e.Objective)
			} else if text := words.Text(&e, words.Budget{}); !strings.Contains(text, "Objective throughput") {
				t.Errorf("in words it does not name the objective: %s", text)
			}
		})
	}
}

func TestSharesNeverExceedTheirLimit(t *testing.T) {
	_, loop, step := ready(t, func(c *pursuit.Config, _ *deathstarbench.Scenario) {
		c.Admission = map[string]control.AdmissionLimits{"information2": {Most: 0.15, Step: 0.1}}
	})
	refused := false
	for range 24 {
		step()
		refused = refused || loop.Levels.Blocked["information2"] > 0
		if got := loop.Levels.Blocked["information2"]; got > 0.15 || loop.Levels.Blocked["information1"] > 0 {
			t.Fatalf("%v is refused, at most 0.15 may be", loop.Levels.Blocked)
		}
	}
	if !refused {
		t.Error("nothing was refused although twice the capacity was asked for")
	}
}

// After telemetry was gone everybody has been let in, and what is refused is decided anew.
func TestWithoutTelemetryNobodyIsRefused(t *testing.T) {
	p, _, step := ready(t, nil)
	for range 24 {
		step()
	}
	if p.Levels().Blocked["information2"] == 0 {
		t.Fatal("nothing was refused at 20 and 20 per second")
	}
	p.Released()
	if got := p.Levels().Blocked["information2"]; got != 0 {
		t.Fatalf("it still thinks that %v is refused", got)
	}
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	o, err := objective.New(objective.Spec{Kind: objective.KindThroughput,
		Upstreams: map[string]objective.Terms{"u": {Bound: time.Second, Importance: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  pursuit.Config
		want string
	}{
		{"no objective", pursuit.Config{}, "no objective"},
		{"a share beyond everything", pursuit.Config{Objective: o,
			Admission: map[string]control.AdmissionLimits{"u": {Most: 2}}}, "admission of u"},
		{"no units", pursuit.Config{Objective: o, Scaling: map[string]control.ScalingLimits{"a": {Max: 3}}},
			"scaling of a"},
		{"units outside of the limits", pursuit.Config{Objective: o,
			Scaling: map[string]control.ScalingLimits{"a": {Min: 1, Max: 3}}, Units: map[string]int{"a": 4}},
			"it has 4 units"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := pursuit.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
