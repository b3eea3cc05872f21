package arena

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/vts"
	"trimtab/weights"
)

// SimOptions are the parts of the simulator that an arena may vary. The zero value means the defaults.
type SimOptions struct {
	// Live changes weights as the live actuator does, without a reload.
	Live bool
	// ApplyDelay is the time from a decision to its effect; 0 means 120 ms for a reload (57 to 214 ms were measured
	// on NGINX 1.22) and 1 ms for the live actuator.
	ApplyDelay     time.Duration
	TelemetryDelay time.Duration
	LostPolls      float64
	Overhead       time.Duration
	BucketsMsec    []float64
}

// SimWorld is the discrete-event twin as a World.
type SimWorld struct {
	opts   SimOptions
	run    *sim.Sim
	counts []GroupResult
	warmup time.Duration
	groups map[string]int
}

var _ World = (*SimWorld)(nil)

// NewSimWorld returns the twin.
func NewSimWorld(o SimOptions) *SimWorld {
	if o.ApplyDelay == 0 {
		o.ApplyDelay = 120 * time.Millisecond
		if o.Live {
			o.ApplyDelay = time.Millisecond
		}
	}
	return &SimWorld{opts: o}
}

// Reset implements World.
func (w *SimWorld) Reset(_ context.Context, run Run) error {
	sc, err := startingFrom(run.Scenario, run.Initial)
	if err != nil {
		return err
	}
	w.run, err = sim.New(sc, sim.Options{
		Seed: run.Seed, Method: sim.Method(run.Method), Deadlines: run.Deadlines, Live: w.opts.Live,
		ApplyDelay:     w.opts.ApplyDelay,
		TelemetryDelay: w.opts.TelemetryDelay, LostPolls: w.opts.LostPolls, Overhead: w.opts.Overhead,
		BucketsMsec: w.opts.BucketsMsec,
	})
	if err != nil {
		return err
	}
	w.warmup = sc.Warmup.Std()
	w.counts = make([]GroupResult, len(sc.Upstreams))
	w.groups = make(map[string]int, len(sc.Upstreams))
	for i, u := range sc.Upstreams {
		w.counts[i] = GroupResult{Upstream: u.Name, Workload: u.Workload, Servers: make([]ServerCount, len(u.Servers))}
		w.groups[u.Name] = i
		for j, name := range u.Servers {
			w.counts[i].Servers[j].Server = name
		}
	}
	return nil
}

// startingFrom returns the scenario with other starting weights.
func startingFrom(sc *deathstarbench.Scenario, initial weights.Set) (*deathstarbench.Scenario, error) {
	if len(initial) == 0 {
		return sc, nil
	}
	if err := CheckWeights(sc, initial); err != nil {
		return nil, fmt.Errorf("initial weights: %w", err)
	}
	c := *sc
	c.Upstreams = slices.Clone(sc.Upstreams)
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		if settings, ok := initial[u.Name]; ok {
			u.Weights = make([]int, len(u.Servers))
			for j, name := range u.Servers {
				u.Weights[j] = settings[name].Weight.Int()
			}
		}
	}
	return &c, nil
}

// Step implements World.
func (w *SimWorld) Step(ctx context.Context) (Interval, error) {
	if err := ctx.Err(); err != nil {
		return Interval{}, err
	}
	sample, err := w.run.Step()
	iv := Interval{At: w.run.Now(), Sample: sample, Done: w.run.Done()}
	if errors.Is(err, sim.ErrPollLost) {
		iv.Err = ErrNoSample
	} else if err != nil {
		return Interval{}, err
	}
	w.tally(&sample)
	iv.Client = w.seen()
	return iv, nil
}

// tally counts the attempts of a sample after the warm-up.
func (w *SimWorld) tally(sample *vts.Sample) {
	if w.run.Now()-w.run.ControlInterval() < w.warmup {
		return
	}
	for _, g := range sample.Groups {
		for j, p := range g.Peers {
			w.counts[w.groups[g.Name]].Servers[j].Requests += p.Requests
		}
	}
}

// seen is what clients saw of the last interval.
func (w *SimWorld) seen() Client {
	all := sim.Sum(w.run.Interval())
	return Client{Requests: all.Requests, Errors: all.Errors, Tardiness: all.Tardiness, Mean: all.Latency.Mean(),
		P99: all.Latency.Quantile(0.99)}
}

// SetWeights implements World.
func (w *SimWorld) SetWeights(_ context.Context, want weights.Set) (control.Receipt, error) {
	settings, changed := w.settings(want, w.run.Weights())
	if !changed {
		return control.Receipt{}, nil
	}
	if err := w.run.SetWeights(settings); err != nil {
		return control.Receipt{}, err
	}
	return control.Receipt{Changed: true, Reloaded: !w.opts.Live, Took: w.opts.ApplyDelay}, nil
}

// settings are weights as the simulator takes them, and whether they differ from the current ones.
func (w *SimWorld) settings(want weights.Set,
	current map[string]map[string]sim.Setting) (map[string]map[string]sim.Setting, bool) {
	settings, changed := make(map[string]map[string]sim.Setting, len(want)), false
	for group, servers := range want {
		settings[group] = make(map[string]sim.Setting, len(servers))
		for server, s := range servers {
			set := sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
			settings[group][server] = set
			changed = changed || current[group][server] != set
		}
	}
	return settings, changed
}

// Weights implements World.
func (w *SimWorld) Weights() weights.Set { return weightsOf(w.run.Weights()) }

// Results implements World.
func (w *SimWorld) Results(context.Context) (Results, error) {
	totals := w.run.Finish()
	all := sim.Sum(totals)
	r := Results{Requests: all.Requests, Errors: all.Errors, Tardiness: all.Tardiness, Latency: &all.Latency}
	for i, c := range totals {
		g := w.counts[i]
		g.Requests, g.Errors, g.Tardiness, g.Latency = c.Requests, c.Errors, c.Tardiness, &c.Latency
		r.Groups = append(r.Groups, g)
	}
	return r, nil
}

// Close implements World.
func (w *SimWorld) Close() error { return nil }
