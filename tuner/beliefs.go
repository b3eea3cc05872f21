package tuner

import (
	"maps"

	"slices"

	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/plan"
	"trimtab/weights"
)

// PoolBelief is what is believed of a set of groups that share servers, as a value.
type PoolBelief struct {
	Groups  []GroupBelief
	Servers []ServerBelief
	// Edited says that somebody else changed weights in the last interval.
	Edited bool
}

// GroupBelief is what is believed of one upstream group; its links are to PoolBelief.Servers.
type GroupBelief struct {
	Name string
	plan.Group
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
		for i, g := range p.planned() {
			b.Groups = append(b.Groups, GroupBelief{Name: p.groups[i].name, Group: g})
		}
		out = append(out, b)
	}
	return out
}

// PlanFor returns the settings that would be planned now if the given multiple of the present load arrived, whatever a
// change costs; nil before the first plan. It changes nothing.
func (t *Tuner) PlanFor(load float64) weights.Set {
	out := weights.Set{}
	for _, p := range t.pools {
		if len(p.beliefs) != len(p.servers) || len(p.shares) != len(p.groups) {
			return nil
		}
		problem := p.problem(t, p.beliefs, false)
		problem.Demand = problem.Loads(load)
		x := problem.Solve(problem.Proportional())
		p.bound(x)
		want, _ := p.settings(x, nil)
		maps.Copy(out, want)
	}
	return out
}
