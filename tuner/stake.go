package tuner

import "math"

// What a change stakes. A plan is made from what servers were seen to carry; that they carry more is a guess, and the
// gain it promises has to be worth that guess.
const (
	freeGrowth   = 0.1  // growth of the work of a server in one change that is no stake
	stakePrice   = 0.5  // what growth beyond that costs, as a share of the cost of now for each time what it carried
	steadyGrowth = 0.05 // growth by one change once the load is steady, at most: small steps are all the time has room for
	sureUse      = 0.6  // utilisation of the slots that a server certainly has that counts as carried
)

// growth is the largest share by which a server would have to do more work than it was seen to do.
func (p *pool) growth(x, inForce [][]float64) float64 {
	most := 0.0
	for _, st := range p.stations {
		growth := 0.0
		for _, h := range st.likely {
			f := &st.fit[h]
			now, then := 0.0, 0.0
			for _, l := range st.links {
				use := l.group.rate * f.service[l.pos] / slotGrid[h]
				now += use * inForce[l.group.index][l.at]
				then += use * x[l.group.index][l.at]
			}
			carried := max(f.proven, now, sureUse*math.Min(st.sure/slotGrid[h], 1), 1e-3)
			growth += f.prob * math.Max(0, then/carried-1)
		}
		most = math.Max(most, growth)
	}
	return most
}

// stakes are what the growth of servers that each candidate asks for costs per second, level being the cost of now. In need it
// is free, and so is what was in force before; least connections send a server no more than it has room for.
func (p *pool) stakes(list []candidate, inForce [][]float64, level float64) []float64 {
	out := make([]float64, len(list))
	if p.urgent() || p.leastConn() {
		return out
	}
	for i := range list {
		if c := &list[i]; !c.unlimited {
			out[i] = level * stakePrice * math.Max(0, p.growth(c.x, inForce)-freeGrowth)
		}
	}
	return out
}

// stepwise takes back the part of a change that asks more growth of a server than a steady load has room for.
func (c *candidate) stepwise(p *pool, inForce [][]float64) {
	if c.unlimited || p.sudden < steadyAfter || p.urgent() {
		return
	}
	growth := p.growth(c.x, inForce)
	if growth <= steadyGrowth {
		return
	}
	for g, x := range c.x {
		for i := range x {
			x[i] = inForce[g][i] + steadyGrowth/growth*(x[i]-inForce[g][i])
		}
	}
	c.bounds = append(c.bounds, BoundStep)
}
