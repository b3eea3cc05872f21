package daemon

import (
	"context"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx"
	"trimtab/nginx/reload"
	"trimtab/vts"
	"trimtab/weights"
)

// fileHand edits NGINX's configuration files and reloads.
type fileHand struct{ *Session }

var _ hand = fileHand{}

func (h fileHand) put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error) {
	r, err := h.root.ApplyFrom(ctx, nginx.SettingsOf(w), from)
	if err == nil {
		h.change = &pageAfter{at: time.Now(), reloaded: r.Reloaded, before: h.generation}
	}
	return control.Receipt{Changed: r.Changed, Reloaded: r.Reloaded, At: r.Confirmed, Took: r.Took}, err
}

func (h fileHand) order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return h.root.Order(ctx, want)
}

func (h fileHand) InForce(ctx context.Context) (weights.Set, error) {
	return reload.InForce(ctx, h.status)
}

func (h fileHand) plan(w weights.Set) (string, error) { return h.diff(w) }

// standing are the servers in the files: at the end the page may be gone, or still list what was removed. Which those
// of host names are it says, as far as it is there.
func (h fileHand) standing(ctx context.Context) (weights.Set, error) {
	seen, err := h.root.Look(ctx)
	if err != nil {
		return nil, &ConfigError{err}
	}
	cfg := &nginx.Config{}
	for i := range seen.Upstreams {
		cfg.Upstreams = append(cfg.Upstreams, seen.Upstreams[i].Block())
	}
	(&nginx.Applier{Status: h.status}).ResolveNames(ctx, cfg)
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

// mayTune: a reload is decided from the status page, on which every server must be known by its address. Which those
// of host names are, the page says; see fits.
func (fileHand) mayTune(u *helper.Upstream) string { return u.Untunable }

// reloadBudget is the kind of hold that passes by itself within moments of a change.
const reloadBudget = "reload budget"

// obstacle: all of them are the files' and the processes'.
func (fileHand) obstacle() string { return "" }
