package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// Training is what a tuner may learn from before its first live step.
type Training struct {
	Files     []string                         // recorded statistics, which the tuner only watches
	Scenarios []string                         // simulated, where it acts; see trainInSimulation
	Told      func(format string, args ...any) // is told what was learned from each; nil: nobody
	Logger    *slog.Logger                     // nil: silence
}

// Train fills the tables before the first live step, from files first, and keeps what was learned in the state of the configuration.
func Train(ctx context.Context, cfg *Config, from Training) error {
	log := from.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	told := from.Told
	if told == nil {
		told = func(string, ...any) {}
	}
	release, err := lock(cfg.StateDir)
	if err != nil {
		return err
	}
	defer release()
	store := NewStore(cfg.StatePath(), log)
	st, _, err := store.Load()
	if err != nil {
		return err
	}
	t, err := tuner.New(cfg.tunerConfig())
	if err != nil {
		return err
	}
	if err := restoreTo(&tuner.Policy{Tuner: t}, st.Snapshot); err != nil {
		log.Warn("what was learned before cannot be used, beginning anew", "error", err)
	}
	for _, path := range from.Files {
		n, covered, err := trainOnFile(ctx, t, path, time.Duration(cfg.Interval))
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		st.Observed += covered
		told("%s: %d intervals, %s\n", path, n, covered.Round(time.Second))
	}
	for _, name := range from.Scenarios {
		n, changes, err := trainInSimulation(ctx, t, name, cfg)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		told("%s: %d intervals simulated, %d changes of weights\n", name, n, changes)
	}
	if st.Snapshot, err = snapshotOf(&tuner.Policy{Tuner: t}); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if st.Explanation, err = json.Marshal(t.Explain()); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return store.Save(st)
}

// trainOnFile lets the tuner watch recorded statistics, one control interval at a time.
func trainOnFile(ctx context.Context, t *tuner.Tuner, path string, interval time.Duration) (n int, covered time.Duration, err error) {
	file, err := vts.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	file.SkipBad = true
	t.Hold("training")
	defer t.Hold("")
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
		t.Decide(tuner.Observation{Sample: sample, Current: control.InForce(sample)})
		n++
		covered += sample.Interval
	}
	return n, covered, context.Cause(ctx)
}

// trainInSimulation lets the tuner act in a scenario whose upstreams are those of NGINX's configuration: same names, servers in the
// same order.
func trainInSimulation(ctx context.Context, t *tuner.Tuner, name string, cfg *Config) (n, changes int, err error) {
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
			for group, servers := range t.Decide(tuner.Observation{Sample: sample, Current: control.InForce(sample)}).Weights {
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
			}
		}
		if iv.Done {
			return n, changes, nil
		}
	}
}

// translate maps the scenario's servers to those of NGINX's configuration and back, by upstream.
func translate(sc *deathstarbench.Scenario, cfg *Config) (real, simulated map[string]map[string]string, err error) {
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
