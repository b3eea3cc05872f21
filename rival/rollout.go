package rival

import (
	"errors"
	"fmt"
	"math"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/objective"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

// Base is a policy that can be followed in imagination: what a copy observes does not reach the original.
type Base interface {
	control.Policy
	Clone() Base
}

// RolloutConfig parameterises the rollout policy. The zero value of a field means its default.
type RolloutConfig struct {
	Base   Base    // default: L3
	Steps  int     // intervals looked ahead; default 2, 1: the next one only
	Factor float64 // by which a server's weights are tried more or less; default 1.5
	// MinGain is how much better than the base's own decision another one must look, in reward; default 0.005.
	MinGain float64
	Groups  map[string]tuner.GroupConfig // methods and deadlines by upstream
	Seed    uint64
}

// Rollout looks ahead on an estimated model (Bertsekas: rollout with a base policy; published for load balancing as a
// way to adapt without training again): every candidate for the next interval is played in the twin that is made of
// what is believed of the servers, the base policy following for the other Steps−1 intervals, with the same requests
// for all. The one of the largest sum of rewards is chosen. The base's own decision is always a candidate, so that with
// a true model it is never worse than its base (policy improvement).
//
// What is believed are the estimates of Trimtab's tuner, which here decides nothing.
type Rollout struct {
	control.Fixed
	cfg      RolloutConfig
	believer *tuner.Tuner
	targets  map[string]objective.Target
	seed     uint64
}

var _ control.Policy = (*Rollout)(nil)

// mostServers bounds the candidates, two for each server.
const mostServers = 32

// NewRollout returns the policy.
func NewRollout(c RolloutConfig) (*Rollout, error) {
	if c.Base == nil {
		l, err := NewL3(L3Config{})
		if err != nil {
			return nil, err
		}
		c.Base = l
	}
	if c.Steps == 0 {
		c.Steps = 2
	}
	if c.Factor == 0 {
		c.Factor = 1.5
	}
	if c.MinGain == 0 {
		c.MinGain = 0.005
	}
	if c.Steps < 1 || c.Steps > 20 || !(c.Factor > 1) || !(c.MinGain >= 0) {
		return nil, errors.New("configure rollout: want 1 to 20 steps, a factor above 1 and a gain of at least 0")
	}
	t, err := tuner.New(tuner.Config{Groups: c.Groups, Seed: c.Seed, Unlimited: true,
		Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		return nil, fmt.Errorf("configure rollout: %w", err)
	}
	r := &Rollout{cfg: c, believer: t, targets: map[string]objective.Target{}, seed: c.Seed}
	for name, g := range c.Groups {
		r.targets[name] = objective.Target{Deadline: g.Deadline, Priority: g.Priority}
	}
	return r, nil
}

// Committed implements control.Policy.
func (r *Rollout) Committed(receipt control.Receipt) { r.cfg.Base.Committed(receipt) }

// Observe implements control.Policy.
func (r *Rollout) Observe(s vts.Sample, inForce weights.Set) {
	r.believer.Observe(s, inForce)
	r.cfg.Base.Observe(s, inForce)
	base := r.cfg.Base.Choose()
	r.Decision = base
	if s.Interval <= 0 || len(s.Groups) == 0 {
		return
	}
	sc, held, why := r.imagine(s, inForce)
	if why != "" {
		r.Decision.Reason = "rollout: base only, " + why
		return
	}
	candidates := r.candidates(s, inForce, base)
	rewards := make([]float64, len(candidates))
	best := 0
	r.seed++
	for i, c := range candidates {
		v, err := r.play(sc, held, c, s.Interval)
		if err != nil {
			r.Decision.Reason = "rollout: base only, " + err.Error()
			return
		}
		if rewards[i] = v; v > rewards[best]+r.cfg.MinGain {
			best = i
		}
	}
	w := weights.Set{}
	for name, m := range candidates[best] {
		if !m.Equal(inForce[name]) {
			w[name] = m
		}
	}
	r.Decision = control.Decision{Weights: w, Reason: fmt.Sprintf("rollout over %d steps: candidate %d of %d, reward "+
		"%.4f, the base's %.4f",
		r.cfg.Steps, best, len(candidates), rewards[best], rewards[0])}
}

// candidates are complete weights: what the base wants first, what is in force, and what is in force with one server's
// share more or less in all its groups.
func (r *Rollout) candidates(s vts.Sample, inForce weights.Set, base control.Decision) []weights.Set {
	whole := func(change weights.Set) weights.Set {
		out := weights.Set{}
		for _, g := range s.Groups {
			out[g.Name] = inForce[g.Name]
			if m, ok := change[g.Name]; ok {
				out[g.Name] = m
			}
		}
		return out
	}
	first := whole(base.Weights)
	out := []weights.Set{first, whole(nil)}
	var servers []string
	seen := map[string]bool{}
	for _, g := range s.Groups {
		for _, p := range g.Peers {
			if !seen[p.Server] && len(servers) < mostServers {
				seen[p.Server] = true
				servers = append(servers, p.Server)
			}
		}
	}
	for _, from := range []weights.Set{first, out[1]} {
		for _, server := range servers {
			for _, f := range []float64{r.cfg.Factor, 1 / r.cfg.Factor} {
				c := weights.Set{}
				for _, g := range s.Groups {
					x, shares := make([]float64, len(g.Peers)), from[g.Name].Shares()
					for i, p := range g.Peers {
						x[i] = shares[p.Server]
						if p.Server == server {
							x[i] *= f
						}
					}
					c[g.Name] = settings(g, weights.Quantise(x))
				}
				out = append(out, c)
			}
		}
		if len(base.Weights) == 0 { // both are the same
			break
		}
	}
	return out
}

// imagine is the world that is believed in, and the requests that servers hold in it; or why there is none.
func (r *Rollout) imagine(s vts.Sample, inForce weights.Set) (*deathstarbench.Scenario, []sim.Held, string) {
	sc := &deathstarbench.Scenario{Name: "imagined",
		Duration:        deathstarbench.Duration(time.Duration(r.cfg.Steps) * s.Interval),
		ControlInterval: deathstarbench.Duration(s.Interval)}
	var held []sim.Held
	for _, pool := range r.believer.Beliefs() {
		for j := range pool.Servers {
			sv := &pool.Servers[j]
			if !sv.Known || len(sv.Slots) == 0 {
				return nil, nil, "nothing is known of server " + sv.Address + " yet"
			}
			sc.Servers = append(sc.Servers, deathstarbench.Server{Name: sv.Address,
				Slots: max(1, int(math.Round(sv.MeanSlots()))), ServiceCV: 0.5,
				QueueLimit: deathstarbench.DefaultQueueLimit, Service: map[string]deathstarbench.Duration{}})
		}
		offset := len(sc.Servers) - len(pool.Servers)
		inside := make([]float64, len(pool.Servers)) // rates, of which the requests held are shared out
		for _, g := range pool.Groups {
			shares := inForce[g.Name].Shares()
			for _, l := range g.Links {
				inside[l.Server] += g.RatePerSec * shares[pool.Servers[l.Server].Address]
			}
		}
		for _, g := range pool.Groups {
			u := deathstarbench.Upstream{Name: g.Name, Workload: g.Name, Method: string(g.Method)}
			shares := inForce[g.Name].Shares()
			for _, l := range g.Links {
				sv, address := &pool.Servers[l.Server], pool.Servers[l.Server].Address
				sc.Servers[offset+l.Server].Service[g.Name] = deathstarbench.Duration(sv.Service(l.Class) *
					float64(time.Second))
				if g.SCV > 0 {
					sc.Servers[offset+l.Server].ServiceCV = math.Sqrt(g.SCV)
				}
				u.Servers = append(u.Servers, address)
				u.Weights = append(u.Weights, inForce[g.Name][address].Weight.Int())
				rate := g.RatePerSec * shares[address]
				if n := int(math.Round(sv.Inside * rate / max(inside[l.Server], 1e-9))); n > 0 && rate > 0 {
					held = append(held, sim.Held{Group: g.Name, Server: address, Requests: n,
						Every: time.Duration(float64(time.Second) / rate)})
				}
			}
			sc.Upstreams = append(sc.Upstreams, u)
			sc.Loads = append(sc.Loads, deathstarbench.Traffic{Workload: g.Name, Arrival: "exp",
				Phases: []deathstarbench.Phase{{Rate: max(g.RatePerSec, 1e-3)}}})
		}
	}
	if len(sc.Upstreams) != len(s.Groups) {
		return nil, nil, "nothing is believed yet"
	}
	return sc, held, ""
}

// play returns the sum of rewards over the intervals looked ahead.
func (r *Rollout) play(sc *deathstarbench.Scenario, held []sim.Held, first weights.Set,
	interval time.Duration) (float64, error) {
	run, err := sim.New(sc, sim.Options{Seed: r.seed, Interval: interval, Held: held, Live: true})
	if err != nil {
		return 0, err
	}
	base, in := r.cfg.Base.Clone(), first
	if err := run.SetWeightsNow(simSettings(in)); err != nil {
		return 0, err
	}
	sum := 0.0
	for n := 0; ; n++ {
		sample, err := run.Step()
		if err != nil {
			return 0, err
		}
		sum += RewardOf(sample, r.targets)
		if run.Done() || n+1 >= r.cfg.Steps {
			return sum, nil
		}
		base.Observe(sample, in)
		next := weights.Set{}
		for name, m := range in {
			next[name] = m
		}
		for name, m := range base.Choose().Weights {
			next[name] = m
		}
		if err := run.SetWeights(simSettings(next)); err != nil {
			return 0, err
		}
		in = next
	}
}

func simSettings(w weights.Set) map[string]map[string]sim.Setting {
	out := make(map[string]map[string]sim.Setting, len(w))
	for group, servers := range w {
		m := make(map[string]sim.Setting, len(servers))
		for server, s := range servers {
			m[server] = sim.Setting{Weight: s.Weight.Int(), Down: s.Down}
		}
		out[group] = m
	}
	return out
}

// Clone implements Base.
func (l *L3) Clone() Base {
	c := &L3{cfg: l.cfg, peers: make(map[peerKey]*l3Peer, len(l.peers)), Fixed: l.Fixed}
	for k, p := range l.peers {
		copied := *p
		c.peers[k] = &copied
	}
	return c
}

// Clone implements Base: what is played has no state but its last decision.
func (d *DQN) Clone() Base {
	c := newDQN(d.shape, d.actions)
	c.net, c.scaler, c.known = d.net, d.scaler, d.known
	return c
}

// Clone implements Base: what is played has no state but its last decision.
func (t *TD3) Clone() Base {
	c := newTD3(t.shape)
	c.actor, c.scaler, c.known = t.actor, t.scaler, t.known
	return c
}

// Hold is the base that never changes anything.
type Hold struct{ control.Fixed }

// Observe implements control.Policy.
func (*Hold) Observe(vts.Sample, weights.Set) {}

// Clone implements Base.
func (*Hold) Clone() Base { return &Hold{} }
