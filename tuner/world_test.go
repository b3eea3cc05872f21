package tuner_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// world is a simulated scenario as source and actuator of a loop.
type world struct {
	*sim.Sim
	changes []time.Duration // when weights changed
	lost    func(time.Duration) bool
	skewed  func(*vts.Sample)
	stepped func() // after every interval; nil: nothing
}

var errLost = errors.New("connection refused")

func newWorld(t testing.TB, sc *deathstarbench.Scenario, seed uint64, method string) *world {
	t.Helper()
	s, err := sim.New(sc, sim.Options{Seed: seed, Method: sim.Method(method), ApplyDelay: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &world{Sim: s, lost: func(time.Duration) bool { return false }, skewed: func(*vts.Sample) {}}
}

func (w *world) Sample(context.Context) (vts.Sample, error) {
	s, err := w.Step()
	if err == nil && w.lost(w.Now()) {
		err = errLost
	}
	w.skewed(&s)
	if w.stepped != nil {
		w.stepped()
	}
	return s, err
}

func (w *world) Apply(_ context.Context, want weights.Set) (control.Receipt, error) {
	m := make(map[string]map[string]sim.Setting, len(want))
	for g, servers := range want {
		m[g] = make(map[string]sim.Setting, len(servers))
		for name, s := range servers {
			m[g][name] = sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
	}
	w.changes = append(w.changes, w.Now())
	return control.Receipt{Changed: true, Reloaded: true}, w.SetWeights(m)
}

// InForce implements control.Actuator.
func (w *world) InForce(context.Context) (weights.Set, error) {
	set := weights.Set{}
	for name, servers := range w.Weights() {
		set[name] = weights.Group{}
		for server, s := range servers {
			set[name][server] = weights.Setting{Weight: weights.Clamp(s.Weight), Down: s.Down}
		}
	}
	return set, nil
}

// tunerFor returns a tuner that knows what an operator's configuration says of the scenario.
func tunerFor(t testing.TB, sc *deathstarbench.Scenario, method string, change func(*tuner.Config)) *tuner.Tuner {
	t.Helper()
	cfg := tuner.Config{Groups: make(map[string]tuner.GroupConfig), Regimes: load.RegimeConfig{Observe: -1}}
	for _, u := range sc.Upstreams {
		cfg.Groups[u.Name] = tuner.GroupConfig{Deadline: u.Deadline.Std(), Priority: u.Priority,
			Method: tuner.Method(method)}
	}
	if change != nil {
		change(&cfg)
	}
	p, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// interval is what a step saw.
type interval struct {
	end     time.Duration
	p99     time.Duration
	errors  float64 // share of requests
	outcome control.Outcome
	err     error
	explain tuner.Explanation
	weights map[string]map[string]sim.Setting
	shares  map[string]float64 // of all requests, by server
}

// run plays the scenario to its end.
func run(t testing.TB, w *world, p control.Policy, options ...control.Option) []interval {
	t.Helper()
	var sample vts.Sample
	source := sourceFunc(func(ctx context.Context) (s vts.Sample, err error) {
		s, err = w.Sample(ctx)
		sample = s
		return s, err
	})
	loop := control.NewLoop(source, p, w, options...)
	var out []interval
	for !w.Done() {
		outcome, err := loop.Step(context.Background())
		if err != nil && !errors.Is(err, control.ErrTelemetry) {
			t.Fatal(err)
		}
		c := sim.Sum(w.Interval())
		iv := interval{end: w.Now(), p99: time.Duration(c.Latency.Quantile(0.99)), outcome: outcome, err: err,
			weights: w.Weights(), shares: map[string]float64{}}
		if c.Requests > 0 {
			iv.errors = float64(c.Errors) / float64(c.Requests)
		}
		total := 0.0
		for _, g := range sample.Groups {
			for _, peer := range g.Peers {
				iv.shares[peer.Server] += float64(peer.Requests)
				total += float64(peer.Requests)
			}
		}
		for name := range iv.shares {
			iv.shares[name] /= max(total, 1)
		}
		if e, ok := p.(*tuner.Tuner); ok {
			iv.explain = e.Explain()
		}
		out = append(out, iv)
	}
	w.Finish()
	return out
}

type sourceFunc func(context.Context) (vts.Sample, error)

func (f sourceFunc) Sample(ctx context.Context) (vts.Sample, error) { return f(ctx) }

// bounded reports whether an explanation names the bound.
func bounded(e tuner.Explanation, b tuner.Bound) bool {
	for _, p := range e.Pools {
		for _, have := range p.Bounds {
			if have == b {
				return true
			}
		}
	}
	return false
}

func ms(v float64) deathstarbench.Duration {
	return deathstarbench.Duration(v * float64(time.Millisecond))
}

// servers makes a scenario of one workload: slots and speed by server, and how much of all capacity the load uses.
func servers(slots []int, speeds []float64, use float64, duration time.Duration) *deathstarbench.Scenario {
	sc := &deathstarbench.Scenario{Name: "test", Duration: deathstarbench.Duration(duration), Warmup: ms(15000),
		ControlInterval: ms(3000),
		Upstreams: []deathstarbench.Upstream{{Name: "compose_backend", Workload: "compose-post",
			Method: deathstarbench.RoundRobin, Deadline: ms(60)}}}
	capacity := 0.0
	for i, n := range slots {
		name := fmt.Sprintf("s%02d", i)
		sc.Servers = append(sc.Servers, deathstarbench.Server{Name: name, Slots: n, ServiceCV: 0.5, QueueLimit: 2000,
			Service: map[string]deathstarbench.Duration{"compose-post": ms(20 / speeds[i])}})
		sc.Upstreams[0].Servers = append(sc.Upstreams[0].Servers, name)
		sc.Upstreams[0].Weights = append(sc.Upstreams[0].Weights, 1)
		capacity += float64(n) * speeds[i] / 0.020
	}
	sc.Loads = []deathstarbench.Traffic{{Workload: "compose-post", Arrival: "exp",
		Phases: []deathstarbench.Phase{{Rate: use * capacity}}}}
	return sc
}

func scenario(t testing.TB, name string) *deathstarbench.Scenario {
	t.Helper()
	sc, err := deathstarbench.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}
