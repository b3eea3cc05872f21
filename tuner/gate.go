package tuner

import (
	"math"
	"time"
)

// Limits on how much the share of a server may change in one step, as factors. A failing or saturated server may lose all of it.
const (
	shareDown  = 0.25
	looseDown  = 0.05 // the same for Loose under round robin: the speeds are known, and nobody is overloaded by being left
	shareUp    = 3.0
	returns    = 0.3  // of an equal share may be given back at once to a server that had less
	overloadUp = 1.5  // by the first change, in an overload: what it does tells where the room is
	steadyUp   = 2.0  // once the load is steady: what was never tried is then approached in smaller steps
	lastStride = 0.8  // for every change that is left of the burst after this one
	lastUp     = 1.25 // by the last change of the burst, even when a server is saturated
	failing    = 0.05 // error share above which a server counts as failing
)

// stride is how many times a share may grow in one step. With the last changes of the burst only small steps are made: there
// would be none left to mend a large one that went wrong.
func (t *Tuner) stride(p *pool) float64 {
	up := shareUp
	if p.sudden >= steadyAfter && t.budget.elapsed > t.budget.window {
		up = steadyUp
	}
	if left := t.budget.left(); t.budget.elapsed <= t.budget.window && !t.budget.unlimited {
		switch {
		case !p.urgent():
			up = math.Min(up, 1+math.Max(lastStride*float64(left-1), 0.1))
		case left == 1:
			up = math.Min(up, lastUp)
		}
	}
	return up
}

// limit bounds the change of every share of a candidate from the weights in force.
func (c *candidate) limit(p *pool, inForce [][]float64, up float64) {
	if c.unlimited {
		return
	}
	bound := false
	down := math.Max(shareDown, 1/(up*up))
	if c.proposal == Loose && !p.leastConn() {
		down = looseDown
	}
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			low := inForce[g][i] * down
			high := math.Max(inForce[g][i]*up, returns/float64(len(grp.links)))
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
		writable(grp, c.x[g])
	}
	if bound {
		c.bounds = append(c.bounds, BoundStep)
	}
}

// writable raises the shares that no weight can express to the least that one can, so that nothing is expected of
// writing less.
func writable(g *group, x []float64) {
	largest := 0.0
	for i := range x {
		largest = math.Max(largest, x[i])
	}
	sum := 0.0
	for i, l := range g.links {
		if !l.off() {
			x[i] = math.Max(x[i], largest/MaxWeight)
		}
		sum += x[i]
	}
	normalise(x, sum)
}

// price is the predicted relative gain that a change has to bring: the further the changes used are ahead of the time
// that has passed, the more. What is left is kept for what is urgent, a saturated or failing server: a small gain now is
// not worth being helpless when the load turns.
func (t *Tuner) price(p *pool, urgent, steady bool) float64 {
	if p.blindOverload() {
		return math.Inf(-1)
	}
	b := &t.budget
	if b.unlimited {
		return t.cfg.MinGain
	}
	var price float64
	if b.elapsed > b.window {
		price = latePrices[min(max(b.perMinute-b.left(), 0), len(latePrices)-1)]
	} else {
		// Released by now: one at once, all of them at the end of the window, the early ones sooner.
		released := 1 + float64(b.burst-1)*math.Sqrt(float64(b.elapsed)/float64(b.window))
		ahead := float64(b.burst-b.left()) + 1 - released
		price = math.Exp2(aheadPrice * math.Max(0, ahead))
	}
	if urgent {
		price = min(price, urgentPrice)
	}
	if steady && b.elapsed > b.window {
		price = math.Min(price*math.Exp2(b.recent(backoff, p.sudden)), math.Max(price, steadyPrice))
	}
	return t.cfg.MinGain * price
}

// aheadPrice is how many times a change doubles in price for every change by which the budget is ahead of its time.
const aheadPrice = 1.5

// latePrices are the prices after the burst, in least gains, by the changes used in the last minute.
var latePrices = [...]float64{3, 12}

// backoff is the time in which a change ceases to double the price of the next one while the load is steady: what was
// to be gained has been gained.
const backoff = 45 * time.Minute

// steadyPrice is what a change costs at most while the load is steady, in least gains: what gains that much for longNeeds
// intervals in a row was missed before.
const steadyPrice = 10

// urgentPrice is what a change costs at most when a server is saturated or fails.
const urgentPrice = 10
