package tuner

import (
	"slices"

	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
)

// PoolBelief is what is believed of a set of groups that share servers, as a value.
type PoolBelief struct {
	Groups  []GroupBelief
	Servers []ServerBelief
	// Edited says that somebody else changed weights in the last interval.
	Edited bool
}

// GroupBelief is what is believed of one upstream group.
type GroupBelief struct {
	Name       string
	Method     Method
	RatePerSec float64 // requests that reach its servers
	SCV        float64 // squared coefficient of variation of service times
	Links      []LinkBelief
}

// LinkBelief is one server of a group.
type LinkBelief struct {
	Server int  // index into PoolBelief.Servers
	Class  int  // of the group among the classes of that server
	Off    bool // takes no requests: down, or passed over by NGINX
}

// ServerBelief is what is believed of one server.
type ServerBelief struct {
	Address string
	estimate.Belief
}

// Beliefs are what the last interval left the tuner believing, pool by pool; nil before the first.
func (t *Tuner) Beliefs() []PoolBelief {
	var out []PoolBelief
	for n, p := range t.pools {
		if len(p.beliefs) != len(p.servers) {
			continue
		}
		b := PoolBelief{}
		if n < len(t.explain.Pools) {
			b.Edited = slices.Contains(t.explain.Pools[n].Bounds, gate.BoundOperator)
		}
		for j, sv := range p.servers {
			b.Servers = append(b.Servers, ServerBelief{Address: sv.address, Belief: p.beliefs[j]})
		}
		for _, g := range p.groups {
			gb := GroupBelief{Name: g.name, Method: g.method, RatePerSec: g.rate.PerSec(), SCV: g.scv}
			for i := range g.links {
				l := &g.links[i]
				gb.Links = append(gb.Links, LinkBelief{Server: l.index, Class: l.class, Off: l.off()})
			}
			b.Groups = append(b.Groups, gb)
		}
		out = append(out, b)
	}
	return out
}
