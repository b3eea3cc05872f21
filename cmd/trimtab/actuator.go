package main

import (
	"context"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/vts"
	"trimtab/weights"
)

// fileActuator changes weights in NGINX's configuration files and reloads.
type fileActuator struct {
	applier *nginx.Applier
	from    nginx.Settings // what the change was decided from; nil: whatever is in force
}

var _ control.Actuator = fileActuator{}

// Apply implements control.Actuator.
func (a fileActuator) Apply(ctx context.Context, w weights.Set) (control.Receipt, error) {
	r, err := a.applier.ApplyFrom(ctx, nginxSettings(w), a.from)
	return control.Receipt{Changed: r.Changed, Reloaded: r.Reloaded, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
}

// InForce implements control.Actuator: what the status page shows.
func (a fileActuator) InForce(ctx context.Context) (weights.Set, error) {
	page, err := a.applier.Status(ctx)
	if err != nil {
		return nil, withCode(exitTelemetry, err)
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

func nginxSettings(w weights.Set) nginx.Settings {
	out := make(nginx.Settings, len(w))
	for group, servers := range w {
		out[group] = make(map[string]nginx.Setting, len(servers))
		for server, s := range servers {
			out[group][server] = nginx.Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
	}
	return out
}

// statusFunc shows package nginx what the status page says. The client must open a new connection for every request.
func statusFunc(client *vts.Client) nginx.StatusFunc {
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
					peers = append(peers, nginx.PeerStatus{Server: p.Server, Weight: p.Weight, Down: p.Down, Backup: p.Backup})
				}
			}
			out.Upstreams[u.Name] = peers
		}
		return out, nil
	}
}
