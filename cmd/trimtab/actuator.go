package main

import (
	"context"

	"trimtab/nginx"
	"trimtab/tuner"
)

// fileActuator changes weights in NGINX's configuration files and reloads.
type fileActuator struct {
	applier *nginx.Applier
	from    nginx.Settings // what the change was decided from; nil: whatever is in force
}

var _ tuner.Actuator = fileActuator{}

// Apply implements tuner.Actuator.
func (a fileActuator) Apply(ctx context.Context, w tuner.Weights) (tuner.Receipt, error) {
	r, err := a.applier.ApplyFrom(ctx, nginxSettings(w), a.from)
	return tuner.Receipt{Changed: r.Changed, Reloaded: r.Reloaded, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
}

func nginxSettings(w tuner.Weights) nginx.Settings {
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
func statusFunc(client statusReader) nginx.StatusFunc {
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
