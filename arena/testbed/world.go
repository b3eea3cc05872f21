package testbed

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/nginx/live"
	"trimtab/vts"
	"trimtab/weights"
)

// WorldConfig says how a World plays its runs.
type WorldConfig struct {
	Dir      string // of NGINX's files; a run overwrites what the one before left
	Listen   string // address of NGINX; empty means 127.0.0.1 and a free port
	Resolver string // as in Options
	Live     bool   // as in Options
	// NewActuator returns what changes the weights of a testbed, and how to end it.
	NewActuator  func(*Testbed) (control.Actuator, func(), error)
	Duration     time.Duration           // of the load; 0 means the scenario's
	PollInterval time.Duration           // of the status page; 0 means 500 ms
	Stats        func(*vts.Status) error // told every status that was read, if set; an error ends the run
	Progress     func(Progress)          // told once a second where the load stands, if set
	Logger       *slog.Logger            // nil means silence
}

// Progress is where the load of a run stands.
type Progress struct {
	Elapsed, Total time.Duration
	RatePerSec     float64 // answers in the last second
	P99MS          float64 // of all answers since the start, ms
}

// World is the testbed as the arena sees it: every run has backends and an NGINX of its own. Servers go by their
// names in the scenario, as in the simulator.
type World struct {
	cfg     WorldConfig
	run     arena.Run
	bed     *Testbed
	session *session
	close   func() // of the actuator

	actuator control.Actuator
	weights  weights.Set
	score    scoring
	duration time.Duration
	steps    int
	last     time.Duration // end of the last interval
	shares   map[string]map[string]uint64
	blocked  map[string]float64 // shares that admission refuses
	refused  live.Refusals      // by admission
}

var _ arena.World = (*World)(nil)

// NewWorld returns a testbed world; it starts nothing before Reset.
func NewWorld(cfg WorldConfig) *World {
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 500 * time.Millisecond
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &World{cfg: cfg}
}

// Reset implements arena.World: it stops what an earlier run left and starts backends, NGINX and load anew. The load
// ends early when ctx does.
func (w *World) Reset(ctx context.Context, run arena.Run) (err error) {
	if err := w.Close(); err != nil {
		return err
	}
	sc, err := variant(run)
	if err != nil {
		return err
	}
	if w.bed, err = Start(ctx, Options{Scenario: sc, Dir: w.cfg.Dir, Listen: w.cfg.Listen, Resolver: w.cfg.Resolver,
		Live: w.cfg.Live, Seed: run.Seed, Logger: w.cfg.Logger}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if w.actuator, w.close, err = w.cfg.NewActuator(w.bed); err != nil {
		return err
	}
	w.run, w.steps, w.last = run, 0, 0
	w.blocked, w.refused = map[string]float64{}, live.Refusals{}
	w.duration = w.cfg.Duration
	if w.duration == 0 {
		w.duration = sc.Duration.Std()
	}
	w.weights = make(weights.Set, len(sc.Upstreams))
	w.shares = make(map[string]map[string]uint64, len(sc.Upstreams))
	for i := range sc.Upstreams {
		u := &sc.Upstreams[i]
		w.weights[u.Name] = make(map[string]weights.Setting, len(u.Servers))
		w.shares[u.Name] = make(map[string]uint64, len(u.Servers))
		for j, server := range u.Servers {
			weight, err := weights.New(u.Weights[j])
			if err != nil {
				return fmt.Errorf("upstream %s server %s: %w", u.Name, server, err)
			}
			w.weights[u.Name][server] = weights.Setting{Weight: weight}
		}
	}
	w.score = newScoring(sc, run.Deadlines)
	w.session, err = newSession(ctx, w.bed, &w.cfg, w.duration, run.Seed)
	return err
}

// variant returns the run's scenario with the run's method and starting weights.
func variant(run arena.Run) (*deathstarbench.Scenario, error) {
	switch run.Method {
	case "", deathstarbench.RoundRobin, deathstarbench.LeastConn:
	default:
		return nil, fmt.Errorf("method %s: the testbed's NGINX has round_robin and least_conn; others are "+
			"simulated only", run.Method)
	}
	if len(run.Initial) > 0 {
		if err := arena.CheckWeights(run.Scenario, run.Initial); err != nil {
			return nil, fmt.Errorf("initial weights: %w", err)
		}
	}
	sc := *run.Scenario
	sc.Upstreams = slices.Clone(sc.Upstreams)
	for i := range sc.Upstreams {
		u := &sc.Upstreams[i]
		if run.Method != "" {
			u.Method = run.Method
		}
		weights := make([]int, len(u.Servers))
		for j, server := range u.Servers {
			weights[j] = 1
			if j < len(u.Weights) {
				weights[j] = u.Weights[j]
			}
			if s, ok := run.Initial[u.Name][server]; ok {
				weights[j] = s.Weight.Int()
			}
		}
		u.Weights = weights
	}
	return &sc, nil
}

// Step implements arena.World: it waits until the control interval is over.
func (w *World) Step(ctx context.Context) (arena.Interval, error) {
	s := w.session
	w.steps++
	end := min(time.Duration(w.steps)*w.bed.Scenario.ControlInterval.Std(), w.duration)
	timer := time.NewTimer(time.Until(s.started.Add(end)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return arena.Interval{}, ctx.Err()
	case <-s.failed:
		return arena.Interval{}, s.failure
	}
	sample, err := s.reader.Fresh(ctx)
	if err != nil && ctx.Err() != nil {
		return arena.Interval{}, ctx.Err()
	}
	iv := arena.Interval{At: time.Since(s.started), Done: end >= w.duration}
	if err != nil {
		w.cfg.Logger.Warn("no sample in this control interval", "err", err)
		iv.Err = fmt.Errorf("%w: %w", arena.ErrNoSample, err)
	} else {
		iv.Sample = w.named(sample)
		w.admission(ctx, &iv.Sample)
		if w.last >= w.bed.Scenario.Warmup.Std() {
			for _, g := range iv.Sample.Groups {
				for _, p := range g.Peers {
					w.shares[g.Name][p.Server] += p.Requests
				}
			}
		}
	}
	iv.Late, iv.LateMost = s.witness.take()
	iv.Client = w.score.client(s.seen.answered())
	w.last = iv.At
	return iv, nil
}

// named returns the sample with the scenario's names in place of addresses.
func (w *World) named(s vts.Sample) vts.Sample {
	s.Groups = slices.Clone(s.Groups)
	for i := range s.Groups {
		g := &s.Groups[i]
		g.Peers = slices.Clone(g.Peers)
		for j := range g.Peers {
			g.Peers[j].Server = w.bed.ServerName(g.Peers[j].Server)
		}
	}
	return s
}

// SetWeights implements arena.World.
func (w *World) SetWeights(ctx context.Context, set weights.Set) (control.Receipt, error) {
	byAddress := make(weights.Set, len(set))
	for group, servers := range set {
		byAddress[group] = make(weights.Group, len(servers))
		for server, s := range servers {
			addr := w.bed.Backends.Addr(server)
			if addr == "" {
				return control.Receipt{}, fmt.Errorf("upstream %s: no server %q in scenario %s", group, server,
					w.bed.Scenario.Name)
			}
			byAddress[group][addr] = s
		}
	}
	receipt, err := w.actuator.Apply(ctx, byAddress)
	if err != nil {
		return receipt, err
	}
	for group, servers := range set {
		for server, s := range servers {
			w.weights[group][server] = s
		}
	}
	// What happened while a change took its time belongs to neither the weights of before nor the new ones.
	if slow := w.bed.Scenario.ControlInterval.Std() / 4; w.session != nil && receipt.Changed && receipt.Took > slow {
		if _, err := w.session.reader.Fresh(ctx); err != nil && ctx.Err() != nil {
			return receipt, ctx.Err()
		}
	}
	return receipt, nil
}

// Weights implements arena.World.
func (w *World) Weights() weights.Set { return w.weights.Clone() }

// Results implements arena.World.
func (w *World) Results(context.Context) (arena.Results, error) {
	if _, err := w.session.end(); err != nil {
		return arena.Results{}, err
	}
	sc := w.bed.Scenario
	due := within(w.session.seen.sorted(), window{sc.Warmup.Std(), w.duration + time.Hour})
	r := w.score.results(due)
	for i := range r.Groups {
		g := &r.Groups[i]
		for _, server := range sc.Upstream(g.Workload).Servers {
			g.Servers = append(g.Servers, arena.ServerCount{Server: server, Requests: w.shares[g.Upstream][server]})
		}
	}
	return r, nil
}

// Close implements arena.World: it stops everything that the last run started.
func (w *World) Close() error {
	if w.session != nil {
		w.session.stop()
		w.session = nil
	}
	if w.close != nil {
		w.close()
		w.close = nil
	}
	if w.bed != nil {
		w.bed.Stop()
		w.bed = nil
	}
	return nil
}
