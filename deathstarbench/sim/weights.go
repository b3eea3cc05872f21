package sim

import (
	"fmt"
	"slices"
)

// SetWeights sets the servers named in settings, by group and server, and leaves all others alone. It takes effect
// after Options.ApplyDelay. Nothing is set when a name is unknown, a weight is outside 1…100 or a group would be left
// without a live server. Of several balancers it sets all.
func (s *Sim) SetWeights(settings map[string]map[string]Setting) error {
	return s.setWeights(none, settings)
}

// setWeights sets weights of one balancer; none: of all.
func (s *Sim) setWeights(balancer int, settings map[string]map[string]Setting) error {
	for b := range s.fleet {
		if b != balancer && balancer != none {
			continue
		}
		if err := s.checkWeights(b, settings); err != nil {
			return err
		}
	}
	delay := int64(s.opts.ApplyDelay)
	if balancer > 0 { // daemons on several machines do not act in the same moment
		delay += int64(s.opts.Interval) * int64(balancer) / int64(len(s.fleet))
	}
	if delay == 0 {
		s.apply(balancer, settings)
		return nil
	}
	p := pending{at: s.now + delay, balancer: balancer, settings: settings}
	i := len(s.pending)
	for i > 0 && s.pending[i-1].at > p.at {
		i--
	}
	s.pending = slices.Insert(s.pending, i, p)
	return nil
}

// SetWeightsNow makes settings be in force at once as if they had always been: nothing is reloaded.
func (s *Sim) SetWeightsNow(settings map[string]map[string]Setting) error {
	for b := range s.fleet {
		if err := s.checkWeights(b, settings); err != nil {
			return err
		}
	}
	live := s.opts.Live
	s.opts.Live = true
	s.apply(none, settings)
	s.opts.Live = live
	return nil
}

func (s *Sim) checkWeights(balancer int, settings map[string]map[string]Setting) error {
	for name, servers := range settings {
		g := s.groupOf(balancer, name)
		if g == nil {
			return fmt.Errorf("set weights: no upstream %q", name)
		}
		live := len(g.peers)
		for i := range g.peers {
			if set, ok := servers[s.servers[g.server[i]].name]; ok && set.Down || !ok && g.health[i].down {
				live--
			}
		}
		if live == 0 {
			return fmt.Errorf("set weights: upstream %s: %w", name, errNoLive)
		}
		for server, set := range servers {
			if s.peer(g, server) == none {
				return fmt.Errorf("set weights: upstream %s has no server %q", name, server)
			}
			if err := checkWeight(set.Weight); err != nil {
				return fmt.Errorf("set weights: upstream %s: server %s: %w", name, server, err)
			}
		}
	}
	return nil
}

// Weights returns the settings in force, by group and server; of several balancers those of the first.
func (s *Sim) Weights() map[string]map[string]Setting { return s.WeightsOf(0) }

// WeightsOf returns the settings in force at the n-th balancer, by group and server.
func (s *Sim) WeightsOf(n int) map[string]map[string]Setting {
	groups := s.groupsOf(n)
	out := make(map[string]map[string]Setting, len(groups))
	for i := range groups {
		g := &groups[i]
		m := make(map[string]Setting, len(g.peers))
		for j := range g.peers {
			m[s.servers[g.server[j]].name] = Setting{Weight: int(g.peers[j].weight), Down: g.health[j].down}
		}
		out[g.name] = m
	}
	return out
}

// group is the group of that name at the first balancer; nil: there is none.
func (s *Sim) group(name string) *group { return s.groupOf(0, name) }

func (s *Sim) peer(g *group, server string) int {
	for i, n := range g.server {
		if s.servers[n].name == server {
			return i
		}
	}
	return none
}

// apply puts settings into force at one balancer, or with none at all. A reload restarts every group of a balancer; the
// live actuator only changes the groups named.
func (s *Sim) apply(balancer int, settings map[string]map[string]Setting) {
	for b := range s.fleet {
		if balancer == none || balancer == b {
			s.applyTo(b, settings)
		}
	}
}

func (s *Sim) applyTo(balancer int, settings map[string]map[string]Setting) {
	changed := false
	for name, servers := range settings {
		g := s.groupOf(balancer, name)
		here := false
		for server, set := range servers {
			i := s.peer(g, server)
			if int(g.peers[i].weight) != set.Weight || g.health[i].down != set.Down {
				g.peers[i].weight, g.health[i].down = int32(set.Weight), set.Down
				here = true
			}
		}
		if here && s.opts.Live {
			g.restart(true)
		}
		changed = changed || here
	}
	if !changed || s.opts.Live {
		return
	}
	groups := s.groupsOf(balancer)
	for i := range groups {
		groups[i].restart(false)
	}
	s.fleet[balancer].generation = s.now
}
