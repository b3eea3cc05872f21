package tuner

import (
	"math"
	"slices"

	"trimtab/tuner/plan"
	"trimtab/weights"
)

// limits are those of the group's links; those that are off may have nothing.
func (g *group) limits() []weights.Limits {
	out := make([]weights.Limits, len(g.links))
	operator := 0.0
	for _, l := range g.links {
		if !l.off() {
			operator += float64(g.ledger.Operator[l.server.address].Weight.Int())
		}
	}
	for i, l := range g.links {
		own, named := g.bounds.Servers[l.server.address]
		switch {
		case l.off():
			out[i] = weights.Limits{Max: math.SmallestNonzeroFloat64}
		case g.bounds.Keep[l.server.address]:
			share := float64(g.ledger.Operator[l.server.address].Weight.Int()) / operator
			out[i] = weights.Limits{Min: share, Max: share}
		case named:
			out[i] = own
		default:
			out[i] = g.bounds.Each
		}
	}
	return out
}

// bound moves shares into the limits of their groups, as far as these can all be kept.
func (p *pool) bound(x plan.Shares) {
	for g, grp := range p.groups {
		if !grp.bounds.Free() {
			// With too few servers for the limits, all are as near as they can be.
			_ = weights.Bound(x[g], grp.limits(), 1)
		}
	}
}

// astray is the largest share of a group's requests, 0 to 1, that goes to servers beyond what their limits let them
// have.
func (p *pool) astray(x plan.Shares) (most float64) {
	for g, grp := range p.groups {
		if grp.bounds.Free() {
			continue
		}
		inside, moved := slices.Clone(x[g]), 0.0
		_ = weights.Bound(inside, grp.limits(), 1)
		for i := range inside {
			moved += math.Abs(x[g][i]-inside[i]) / 2
		}
		most = math.Max(most, moved)
	}
	return most
}

// strayed is how much nearer to their limits shares must come for a change that is made whatever else it brings.
const strayed = 0.005
