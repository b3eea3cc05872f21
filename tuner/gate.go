package tuner

import "math"

// Limits on how much the share of a server may change in one step, as factors. A failing or saturated server may lose all of it.
const (
	shareDown = 0.25
	shareUp   = 3.0
	failing   = 0.05 // error share above which a server counts as failing
)

// limit bounds the change of every share of a candidate from the weights in force.
func (c *candidate) limit(p *pool, inForce [][]float64) {
	if c.unlimited {
		return
	}
	bound := false
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			low, high := inForce[g][i]*shareDown, math.Max(inForce[g][i]*shareUp, 0.01)
			if l.errors > failing || l.station.full {
				low = 0
			}
			if l.off() {
				high = 0
			}
			v := math.Max(low, math.Min(high, c.x[g][i]))
			bound = bound || math.Abs(v-c.x[g][i]) > 0.02*c.x[g][i]
			c.x[g][i] = v
			sum += v
		}
		normalise(c.x[g], sum)
	}
	if bound {
		c.bounds = append(c.bounds, BoundStep)
	}
}

// price is the predicted relative gain that a change has to bring: the fewer changes are left, the more.
func (t *Tuner) price() float64 {
	if t.budget.unlimited {
		return t.cfg.MinGain
	}
	left, of := t.budget.left(), t.budget.burst
	if t.budget.elapsed > t.budget.window {
		left, of = left+1, t.budget.perMinute+1
	}
	used := 1 - float64(left)/float64(of)
	return t.cfg.MinGain * math.Pow(scarcity, used)
}

// scarcity is how many times the least gain the last change of the budget has to bring.
const scarcity = 47
