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
	"trimtab/nginx/reload"
	"trimtab/vts"
	"trimtab/weights"
)

// fileHand edits NGINX's configuration files and reloads.
type fileHand struct{ *Session }

var _ hand = fileHand{}

func (h fileHand) put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error) {
	r, err := reload.Actuator{Applier: h.applier, From: from}.Apply(ctx, w)
	if err == nil {
		h.change = &pageAfter{at: time.Now(), reloaded: r.Reloaded, before: h.generation}
	}
	return r, err
}

func (h fileHand) order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	a := h.applier
	ordered := &nginx.Applier{
		Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix, PIDFile: a.PIDFile,
		TestCommand: a.TestCommand, ReloadCommand: a.ReloadCommand, Status: a.Status, Origin: a.Origin, Eject: true, Manual: true,
		HoldUnloaded: a.HoldUnloaded, TestTimeout: a.TestTimeout, ConfirmTimeout: a.ConfirmTimeout, Logger: a.Logger,
	}
	return ordered.Apply(ctx, want)
}

func (h fileHand) InForce(ctx context.Context) (weights.Set, error) {
	return reload.Actuator{Applier: h.applier}.InForce(ctx)
}

func (h fileHand) plan(w weights.Set) (string, error) { return h.diff(w) }

// standing are the servers in the files: at the end the page may be gone, or still list what was removed.
func (h fileHand) standing(ctx context.Context) (weights.Set, error) {
	cfg, err := nginx.ReadConfig(h.cfg.Nginx.Config)
	if err != nil {
		return nil, &ConfigError{err}
	}
	h.applier.ResolveNames(ctx, cfg)
	set := make(weights.Set, len(cfg.Upstreams))
	for _, u := range cfg.Upstreams {
		set[u.Name] = make(weights.Group, len(u.Peers))
		for _, p := range u.Peers {
			set[u.Name][p.Shown()] = weights.Setting{Weight: weights.Clamp(p.Weight), Down: p.Down}
		}
	}
	return set, nil
}

// overlay: the page shows everything.
func (fileHand) overlay(context.Context, *vts.Sample) error { return nil }

// mayTune: a reload is decided from the status page, on which every server must be known by its address. Which those of host names are,
// the page says; see fits.
func (fileHand) mayTune(cfg *nginx.Config, u *nginx.Upstream) error {
	if u.ByName() {
		return cfg.Editable(u.Name)
	}
	return cfg.Tunable(u.Name)
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
	if h.applier.ReloadCommand != nil {
		return "" // its processes are not to be seen from here
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

// writable reports whether the journal can be written and the files that hold tunable upstreams replaced: better to say
// so than to try again and again.
func (h fileHand) writable(cfg *nginx.Config) error {
	if cfg.Root != "" {
		return nginx.ErrContained
	}
	dirs := []string{h.cfg.StateDir}
	for _, u := range cfg.Upstreams {
		if dir := filepath.Dir(u.File.Real); h.tunes(u.Name) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			if dir != h.cfg.StateDir {
				return fmt.Errorf("%s: %w: weights can change without writing there by kind = \"dns\" (NGINX 1.27.3) or \"live\"", dir, err)
			}
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}
