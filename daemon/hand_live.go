package daemon

import (
	"context"
	"slices"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx"
	"trimtab/nginx/live"
	"trimtab/vts"
	"trimtab/weights"
)

// liveHand sets weights in NGINX while it runs.
type liveHand struct {
	*Session
	setter *live.Actuator
}

var _ hand = liveHand{}

func (h liveHand) put(ctx context.Context, w weights.Set, _ nginx.Settings) (control.Receipt, error) {
	// A call that is under way at SIGTERM is finished (it has a timeout of its own): cut short, nobody would know
	// whether the weights are in force, and whose to restore.
	r, err := h.setter.Apply(context.WithoutCancel(ctx), nginx.SettingsOf(w))
	return control.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, err
}

func (h liveHand) order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return h.setter.Apply(context.WithoutCancel(ctx), want)
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

func (h liveHand) plan(w weights.Set) (string, error) { return h.diff(w) }

func (h liveHand) standing(ctx context.Context) (weights.Set, error) { return h.InForce(ctx) }

// overlay puts in the weights that were set: a status page that is not the shim's shows those of the file.
func (h liveHand) overlay(ctx context.Context, sample *vts.Sample) error {
	inForce, err := h.InForce(ctx)
	if err != nil {
		return err
	}
	kept := sample.Groups[:0]
	for _, g := range sample.Groups {
		now, ok := inForce[g.Name]
		if !ok {
			continue
		}
		g.Peers = slices.Clone(g.Peers)
		for i := range g.Peers {
			if o, ok := now[g.Peers[i].Server]; ok {
				g.Peers[i].Weight, g.Peers[i].Down = o.Weight.Int(), o.Down
			}
		}
		kept = append(kept, g)
	}
	sample.Groups = kept
	return nil
}

// mayTune: live weights know a server by its place.
func (liveHand) mayTune(u *helper.Upstream) string { return u.Uneditable }

func (liveHand) obstacle() string { return "" }
