package sim

import "fmt"

// SetWeights sets the servers named in settings, by group and server, and leaves all others alone. It takes effect
// after Options.ApplyDelay. Nothing is set when a name is unknown, a weight is outside 1…100 or a group would be left
// without a live server.
func (s *Sim) SetWeights(settings map[string]map[string]Setting) error {
	if err := s.checkWeights(settings); err != nil {
		return err
	}
	if s.opts.ApplyDelay == 0 {
		s.apply(settings)
		return nil
	}
	s.pending = append(s.pending, pending{at: s.now + int64(s.opts.ApplyDelay), settings: settings})
	return nil
}

// SetWeightsNow makes settings be in force at once as if they had always been: nothing is reloaded.
func (s *Sim) SetWeightsNow(settings map[string]map[string]Setting) error {
	if err := s.checkWeights(settings); err != nil {
		return err
	}
	live := s.opts.Live
	s.opts.Live = true
	s.apply(settings)
	s.opts.Live = live
	return nil
}

func (s *Sim) checkWeights(settings map[string]map[string]Setting) error {
	for name, servers := range settings {
		g := s.group(name)
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

// Weights returns the settings in force, by group and server.
func (s *Sim) Weights() map[string]map[string]Setting {
	out := make(map[string]map[string]Setting, len(s.groups))
	for i := range s.groups {
		g := &s.groups[i]
		m := make(map[string]Setting, len(g.peers))
		for j := range g.peers {
			m[s.servers[g.server[j]].name] = Setting{Weight: int(g.peers[j].weight), Down: g.health[j].down}
		}
		out[g.name] = m
	}
	return out
}

func (s *Sim) group(name string) *group {
	for i := range s.groups {
		if s.groups[i].name == name {
			return &s.groups[i]
		}
	}
	return nil
}

func (s *Sim) peer(g *group, server string) int {
	for i, n := range g.server {
		if s.servers[n].name == server {
			return i
		}
	}
	return none
}

// apply puts settings into force. A reload restarts the balancer of every group; the live actuator only changes the
// groups named.
func (s *Sim) apply(settings map[string]map[string]Setting) {
	changed := false
	for name, servers := range settings {
		g := s.group(name)
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
	for i := range s.groups {
		s.groups[i].restart(false)
	}
	s.generation = s.now
}
