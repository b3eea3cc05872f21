package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// train fills the tables before the first live step: from recorded statistics, which the tuner only watches, and then in
// simulations of scenarios, where it acts. What was learned goes into the state file.
func (f *tuneFlags) train(ctx context.Context, e *env, cfg *daemonConfig) error {
	release, err := lockDaemon(cfg.StateDir)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer release()
	log := newLogger(e, cfg)
	store := tuner.NewStore(filepath.Join(cfg.StateDir, "tuner.db"), log)
	st, _, err := store.Load()
	if err != nil {
		return withCode(exitConfig, err)
	}
	t, err := tuner.New(cfg.tunerConfig())
	if err != nil {
		return withCode(exitConfig, err)
	}
	if st.Snapshot != nil {
		if err := t.Restore(*st.Snapshot); err != nil {
			log.Warn("what was learned before cannot be used, beginning anew", "error", err)
		}
	}
	for _, path := range f.trainFiles {
		n, covered, err := trainOnFile(ctx, t, path, time.Duration(cfg.Interval))
		if err != nil {
			return withCode(exitConfig, fmt.Errorf("train: %w", err))
		}
		st.Observed += covered
		fmt.Fprintf(e.stdout, "%s: %d intervals, %s\n", path, n, covered.Round(time.Second))
	}
	for _, name := range f.trainSims {
		n, changes, err := trainInSimulation(ctx, t, name, cfg)
		if err != nil {
			return withCode(exitConfig, fmt.Errorf("train: %w", err))
		}
		fmt.Fprintf(e.stdout, "%s: %d intervals simulated, %d changes of weights\n", name, n, changes)
	}
	snapshot, err := t.Snapshot()
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("train: %w", err))
	}
	last := t.Explain()
	st.Snapshot, st.Explanation = &snapshot, &last
	if err := store.Save(st); err != nil {
		return withCode(exitConfig, err)
	}
	return nil
}

// trainOnFile lets the tuner watch recorded statistics, one control interval at a time.
func trainOnFile(ctx context.Context, t *tuner.Tuner, path string, interval time.Duration) (n int, covered time.Duration, err error) {
	file, err := vts.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	file.SkipBad = true
	var base *vts.Status
	for ctx.Err() == nil {
		st, err := file.Next()
		if err == io.EOF {
			if n == 0 {
				return 0, 0, fmt.Errorf("%s holds no two statuses that are %v apart", path, interval)
			}
			return n, covered, nil
		}
		if err != nil {
			return n, covered, err
		}
		if base == nil || st.NowMsec < base.NowMsec {
			base = st
			continue
		}
		if time.Duration(st.NowMsec-base.NowMsec)*time.Millisecond < interval {
			continue
		}
		sample, err := vts.Delta(base, st)
		base = st
		if err != nil {
			continue // a restart, or a reset: the next pair begins anew
		}
		t.Observe(sample, control.InForce(sample))
		n++
		covered += sample.Interval
	}
	return n, covered, context.Cause(ctx)
}

// trainInSimulation lets the tuner act in a scenario whose upstreams are those of NGINX's configuration: same names, servers in the
// same order.
func trainInSimulation(ctx context.Context, t *tuner.Tuner, name string, cfg *daemonConfig) (n, changes int, err error) {
	sc, err := deathstarbench.Load(name)
	if err != nil {
		return 0, 0, err
	}
	real, simulated, err := translate(sc, cfg)
	if err != nil {
		return 0, 0, fmt.Errorf("scenario %s: %w", name, err)
	}
	world := arena.NewSimWorld(arena.SimOptions{Live: cfg.Actuator.Kind == "live"})
	defer world.Close()
	if err := world.Reset(ctx, arena.Run{Scenario: sc, Seed: cfg.Tuner.Seed}); err != nil {
		return 0, 0, err
	}
	for {
		iv, err := world.Step(ctx)
		if err != nil {
			return n, changes, err
		}
		if iv.Err == nil {
			n++
			sample := iv.Sample
			for i := range sample.Groups {
				g := &sample.Groups[i]
				for j := range g.Peers {
					g.Peers[j].Server = real[g.Name][g.Peers[j].Server]
				}
			}
			want := weights.Set{}
			t.Observe(sample, control.InForce(sample))
			decided := t.Choose().Weights
			for group, servers := range decided {
				want[group] = map[string]weights.Setting{}
				for server, s := range servers {
					want[group][simulated[group][server]] = s
				}
			}
			if len(want) > 0 {
				r, err := world.SetWeights(ctx, want)
				if err != nil {
					return n, changes, err
				}
				if r.Changed {
					changes++
				}
				r.Want = decided
				t.Committed(r)
			}
		}
		if iv.Done {
			return n, changes, nil
		}
	}
}

// translate maps the scenario's servers to those of NGINX's configuration and back, by upstream.
func translate(sc *deathstarbench.Scenario, cfg *daemonConfig) (real, simulated map[string]map[string]string, err error) {
	conf, err := nginx.ReadConfig(cfg.Nginx.Config)
	if err != nil {
		return nil, nil, err
	}
	real, simulated = map[string]map[string]string{}, map[string]map[string]string{}
	for _, u := range sc.Upstreams {
		var found *nginx.Upstream
		for _, o := range conf.Upstreams {
			if o.Name == u.Name {
				found = o
			}
		}
		switch {
		case found == nil:
			err = errors.Join(err, fmt.Errorf("upstream %q is not in %s", u.Name, conf.Path))
			continue
		case len(found.Peers) != len(u.Servers):
			err = errors.Join(err, fmt.Errorf("upstream %q has %d servers, in %s it has %d", u.Name, len(u.Servers), conf.Path, len(found.Peers)))
			continue
		}
		real[u.Name], simulated[u.Name] = map[string]string{}, map[string]string{}
		for i, p := range found.Peers {
			real[u.Name][u.Servers[i]], simulated[u.Name][p.Label()] = p.Label(), u.Servers[i]
		}
	}
	return real, simulated, err
}
