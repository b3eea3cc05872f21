package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/nginx"
	"trimtab/vts"
)

// Training is what a tuner may learn from before its first live step.
type Training struct {
	Files     []string                         // recorded statistics, which the tuner only watches
	Scenarios []string                         // simulated, where it acts; see trainInSimulation
	Told      func(format string, args ...any) // is told what was learned from each; nil: nobody
	Logger    *slog.Logger                     // nil: silence
}

// Train fills the tables before the first live step, from files first, and keeps what was learned in the state of the
// configuration.
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
	if conf, err := nginx.ReadConfig(cfg.Nginx.Config); err == nil { // files may be trained on where no NGINX is
		cfg.methods = methodsOf(conf)
	}
	p, err := newTuner(cfg)
	if err != nil {
		return err
	}
	if err := restoreTo(p, st.Snapshot); err != nil {
		log.Warn("what was learned before cannot be used, beginning anew", "error", err)
	}
	for _, path := range from.Files {
		n, covered, err := trainOnFile(ctx, p, path, time.Duration(cfg.Interval))
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		st.Observed += covered
		told("%s: %d intervals, %s\n", path, n, covered.Round(time.Second))
	}
	for _, name := range from.Scenarios {
		n, changes, err := trainInSimulation(ctx, p, name, cfg)
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
		told("%s: %d intervals simulated, %d changes of weights\n", name, n, changes)
	}
	if st.Snapshot, err = snapshotOf(p); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if st.Explanation, err = explanationOf(p); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return store.Save(st)
}

// trainOnFile lets a policy watch recorded statistics, one control interval at a time.
func trainOnFile(ctx context.Context, p control.Policy, path string, interval time.Duration) (n int,
	covered time.Duration, err error) {
	file, err := vts.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	file.SkipBad = true
	loop := control.NewLoop(&recording{file: file, interval: interval}, p, nil, control.WithDryRun())
	for {
		out, err := loop.Step(ctx)
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return 0, 0, fmt.Errorf("%s holds no two statuses that are %v apart", path, interval)
		case errors.Is(err, io.EOF):
			return n, covered, nil
		case err != nil:
			return n, covered, err
		}
		n++
		covered += out.Sample.Interval
	}
}

// recording is the source of what was recorded.
type recording struct {
	file     *vts.File
	interval time.Duration // between two statuses of a sample, at least
	base     *vts.Status
}

// Sample implements control.Source; io.EOF ends it.
func (r *recording) Sample(ctx context.Context) (vts.Sample, error) {
	for ctx.Err() == nil {
		st, err := r.file.Next()
		if err != nil {
			return vts.Sample{}, err
		}
		if r.base == nil || st.NowMsec < r.base.NowMsec {
			r.base = st
			continue
		}
		if time.Duration(st.NowMsec-r.base.NowMsec)*time.Millisecond < r.interval {
			continue
		}
		sample, err := vts.Delta(r.base, st)
		r.base = st
		if err == nil { // else a restart, or a reset: the next pair begins anew
			return sample, nil
		}
	}
	return vts.Sample{}, context.Cause(ctx)
}

// trainInSimulation lets a policy act in a scenario whose upstreams are those of NGINX's configuration: same names,
// servers in the same order.
func trainInSimulation(ctx context.Context, p control.Policy, name string, cfg *Config) (n, changes int, err error) {
	sc, err := deathstarbench.Load(name)
	if err != nil {
		return 0, 0, err
	}
	r, err := newRehearsal(sc, cfg)
	if err != nil {
		return 0, 0, fmt.Errorf("scenario %s: %w", name, err)
	}
	loop := control.NewLoop(r, p, r)
	for !r.world.Done() {
		out, err := loop.Step(ctx)
		switch {
		case errors.Is(err, sim.ErrPollLost):
			continue
		case err != nil:
			return n, changes, err
		}
		n++
		if out.Receipt.Changed {
			changes++
		}
	}
	return n, changes, nil
}
