package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/nginx"
	"trimtab/vts"
	"trimtab/weights"
)

// rehearsal is a simulated scenario as source and actuator, with the servers named as NGINX's configuration has them.
type rehearsal struct {
	world           *sim.Sim
	delay           time.Duration // from a decision to its effect
	live            bool
	real, simulated map[string]map[string]string // server by server of the other side, by upstream
}

var (
	_ control.Source   = (*rehearsal)(nil)
	_ control.Actuator = (*rehearsal)(nil)
)

// Delays from a decision to its effect: 57 to 214 ms were measured for a reload of NGINX 1.22.
const (
	reloadDelay = 120 * time.Millisecond
	liveDelay   = time.Millisecond
)

func newRehearsal(sc *deathstarbench.Scenario, cfg *Config) (*rehearsal, error) {
	r := &rehearsal{delay: reloadDelay, live: cfg.Actuator.Kind == "live"}
	if r.live {
		r.delay = liveDelay
	}
	var err error
	if r.real, r.simulated, err = translate(sc, cfg); err != nil {
		return nil, err
	}
	r.world, err = sim.New(sc, sim.Options{Seed: cfg.Tuner.Seed, Live: r.live, ApplyDelay: r.delay})
	return r, err
}

// Sample implements control.Source: the next control interval.
func (r *rehearsal) Sample(ctx context.Context) (vts.Sample, error) {
	if err := ctx.Err(); err != nil {
		return vts.Sample{}, err
	}
	sample, err := r.world.Step()
	for i := range sample.Groups {
		g := &sample.Groups[i]
		for j := range g.Peers {
			g.Peers[j].Server = r.real[g.Name][g.Peers[j].Server]
		}
	}
	return sample, err
}

// Apply implements control.Actuator.
func (r *rehearsal) Apply(_ context.Context, want weights.Set) (control.Receipt, error) {
	now, settings := r.world.Weights(), make(map[string]map[string]sim.Setting, len(want))
	changed := false
	for group, servers := range want {
		settings[group] = make(map[string]sim.Setting, len(servers))
		for server, s := range servers {
			name, set := r.simulated[group][server], sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
			settings[group][name] = set
			changed = changed || now[group][name] != set
		}
	}
	if !changed {
		return control.Receipt{}, nil
	}
	if err := r.world.SetWeights(settings); err != nil {
		return control.Receipt{}, err
	}
	return control.Receipt{Changed: true, Reloaded: !r.live, Took: r.delay}, nil
}

// InForce implements control.Actuator.
func (r *rehearsal) InForce(context.Context) (weights.Set, error) {
	set := weights.Set{}
	for group, servers := range r.world.Weights() {
		set[group] = make(weights.Group, len(servers))
		for server, s := range servers {
			set[group][r.real[group][server]] = weights.Setting{Weight: weights.Clamp(s.Weight), Down: s.Down}
		}
	}
	return set, nil
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
			err = errors.Join(err, fmt.Errorf("upstream %q has %d servers, in %s it has %d", u.Name, len(u.Servers),
				conf.Path, len(found.Peers)))
			continue
		}
		real[u.Name], simulated[u.Name] = map[string]string{}, map[string]string{}
		for i, p := range found.Peers {
			real[u.Name][u.Servers[i]], simulated[u.Name][p.Label()] = p.Label(), u.Servers[i]
		}
	}
	return real, simulated, err
}
