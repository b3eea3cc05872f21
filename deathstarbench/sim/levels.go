package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// SetBlocked sets the share of the requests of upstreams that admission refuses before a server is chosen, 0…1, at
// once. Groups that are not named keep theirs. Nothing is set when a name is unknown or a share is none.
func (s *Sim) SetBlocked(blocked map[string]float64) error {
	for _, name := range slices.Sorted(maps.Keys(blocked)) {
		if s.group(name) == nil {
			return fmt.Errorf("set blocked share: no upstream %q", name)
		}
		if v := blocked[name]; !(v >= 0 && v <= 1) {
			return fmt.Errorf("set blocked share: upstream %s: %v: want 0 to 1", name, v)
		}
	}
	for i := range s.groups {
		if share, ok := blocked[s.groups[i].name]; ok {
			s.groups[i].blocked = share
		}
	}
	return nil
}

// Blocked are the shares in force, by upstream.
func (s *Sim) Blocked() map[string]float64 {
	out := make(map[string]float64, len(s.groups))
	for i := range s.groups {
		out[s.groups[i].name] = s.groups[i].blocked
	}
	return out
}

// SetSlots sets the slots of servers, at once; a Capacity fault goes on meanwhile and ends in the new number. What is
// in service in slots that go away is served to its end.
func (s *Sim) SetSlots(slots map[string]int) error {
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		if s.server(name) == nil {
			return fmt.Errorf("set slots: no server %q", name)
		}
		if n := slots[name]; n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("set slots: server %s: %d: want at least 1", name, n)
		}
	}
	for name, n := range slots {
		srv := s.server(name)
		if srv.capacity == srv.baseSlots {
			srv.capacity = int32(n)
		}
		srv.baseSlots = int32(n)
		if !srv.paused {
			srv.slots = srv.capacity
		}
		for srv.waiting > 0 && srv.busy < srv.slots {
			s.start(srv, s.leave(srv))
		}
	}
	return nil
}

// Slots are the slots of servers, without faults, by name.
func (s *Sim) Slots() map[string]int {
	out := make(map[string]int, len(s.servers))
	for i := range s.servers {
		out[s.servers[i].name] = int(s.servers[i].baseSlots)
	}
	return out
}

func (s *Sim) server(name string) *server {
	for i := range s.servers {
		if s.servers[i].name == name {
			return &s.servers[i]
		}
	}
	return nil
}

// turnAway counts a request that admission refuses.
func (g *group) turnAway(scored bool) {
	g.refused++
	g.client.interval.Refused++
	if scored {
		g.client.run.Refused++
	}
}
