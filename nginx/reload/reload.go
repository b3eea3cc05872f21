package reload

import (
	"context"
	"fmt"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/vts"
	"trimtab/weights"
)

// Actuator changes weights in NGINX's configuration files and reloads. Its errors are those of nginx.Applier.
type Actuator struct {
	Applier *nginx.Applier
	From    nginx.Settings // what the change was decided from; nil: whatever is in force
}

var _ control.Actuator = Actuator{}

// Apply implements control.Actuator.
func (a Actuator) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
	r, err := a.Applier.ApplyFrom(ctx, nginx.SettingsOf(w), a.From)
	return control.Receipt{Changed: r.Changed, Reloaded: r.Reloaded, At: r.Confirmed, Took: r.Took}, err
}

// InForce implements control.Actuator: what the status page shows. Without a page the error is control.ErrTelemetry.
func (a Actuator) InForce(ctx context.Context) (weights.Set, error) {
	return InForce(ctx, a.Applier.Status)
}

// InForce is what a status page shows. Without a page the error is control.ErrTelemetry.
func InForce(ctx context.Context, status nginx.StatusFunc) (weights.Set, error) {
	page, err := status(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", control.ErrTelemetry, err)
	}
	set := make(weights.Set, len(page.Upstreams))
	for name, peers := range page.Upstreams {
		set[name] = make(weights.Group, len(peers))
		for _, p := range peers {
			set[name][p.Server] = weights.Setting{Weight: weights.Clamp(p.Weight), Down: p.Down}
		}
	}
	return set, nil
}

// StatusOf shows package nginx what the status page says. The client must open a new connection for every request: a
// kept one may end at a worker that drains after a reload.
func StatusOf(client vts.StatusSource) nginx.StatusFunc {
	return func(ctx context.Context) (nginx.Status, error) {
		s, err := client.Status(ctx)
		if err != nil {
			return nginx.Status{}, err
		}
		out := nginx.Status{LoadMsec: s.LoadMsec, Upstreams: make(map[string][]nginx.PeerStatus, len(s.Upstreams))}
		for i := range s.Upstreams {
			u := &s.Upstreams[i]
			var peers []nginx.PeerStatus
			for j := range u.Peers {
				if p := &u.Peers[j]; !p.Pseudo(u.Name) {
					peers = append(peers, nginx.PeerStatus{Server: p.Server, Weight: p.Weight, Down: p.Down,
						Backup: p.Backup})
				}
			}
			out.Upstreams[u.Name] = peers
		}
		return out, nil
	}
}
