package daemon

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/nginx/live"
	"trimtab/nginx/reload"
	"trimtab/weights"
)

// hand is how weights get into NGINX.
type hand interface {
	// put makes weights effective; from is what they were decided from, nil: whatever is in force.
	put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error)
	// InForce says what is in force, of every group that can be set.
	InForce(ctx context.Context) (weights.Set, error)
	// obstacle says why no change may be made now; empty when nothing stands in the way.
	obstacle(ctx context.Context, dry bool) string
}

// liveHand sets weights in NGINX while it runs.
type liveHand struct{ setter *live.Actuator }

func (h liveHand) put(ctx context.Context, w weights.Set, _ nginx.Settings) (control.Receipt, error) {
	// A call that is under way at SIGTERM is finished (it has a timeout of its own): cut short, nobody would know whether the
	// weights are in force, and whose to restore.
	r, err := h.setter.Apply(context.WithoutCancel(ctx), nginx.SettingsOf(w))
	return control.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, err
}

func (h liveHand) InForce(ctx context.Context) (weights.Set, error) {
	state, err := h.setter.State(ctx)
	if err != nil {
		return nil, err
	}
	set := make(weights.Set, len(state.Upstreams))
	for name, u := range state.Upstreams {
		if !u.Live {
			continue
		}
		set[name] = make(weights.Group, len(u.Servers))
		for _, o := range u.Servers {
			set[name][o.Server] = weights.Setting{Weight: weights.Clamp(o.Weight), Down: o.Down}
		}
	}
	return set, nil
}

func (liveHand) obstacle(context.Context, bool) string { return "" }

// fileHand edits NGINX's configuration files and reloads.
type fileHand struct{ *Session }

func (h fileHand) put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error) {
	r, err := reload.Actuator{Applier: h.applier, From: from}.Apply(ctx, w)
	if err == nil {
		h.change = &pageAfter{at: time.Now(), reloaded: r.Reloaded, before: h.generation}
	}
	return r, err
}

func (h fileHand) InForce(ctx context.Context) (weights.Set, error) {
	return reload.Actuator{Applier: h.applier}.InForce(ctx)
}

// reloadBudget is the kind of hold that passes by itself within moments of a change.
const reloadBudget = "reload budget"

func (h fileHand) obstacle(ctx context.Context, dry bool) string {
	if b, err := h.applier.Breaker(); err == nil && b.Open(time.Now()) {
		return "circuit breaker: " + b.String()
	}
	if wait := h.applier.Budget.Held(time.Now()); wait != "" {
		return reloadBudget + ": " + wait
	}
	cfg, err := nginx.ReadConfig(h.cfg.Nginx.Config)
	if err != nil {
		return "configuration: " + err.Error()
	}
	if err := h.writable(cfg); err != nil && !dry {
		return "read-only: " + err.Error()
	}
	pid, err := h.applier.Master(ctx, cfg)
	if err != nil {
		return "master: " + err.Error()
	}
	l, err := nginx.ReadLoad(pid)
	if err != nil {
		return "master: " + err.Error()
	}
	h.mu.Lock()
	h.lastLoad = l
	h.mu.Unlock()
	if most := h.cfg.Actuator.MaxGenerations; most > 0 && l.Generations > most {
		return fmt.Sprintf("draining: %d generations of old workers live, at most %d may", l.Generations, most)
	}
	return ""
}

// writable reports whether the journal can be written and the files that hold tunable upstreams replaced: better to say so
// than to try again and again.
func (h fileHand) writable(cfg *nginx.Config) error {
	dirs := []string{h.cfg.StateDir}
	for _, u := range cfg.Upstreams {
		if dir := filepath.Dir(u.File.Real); h.tunes(u.Name) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}
