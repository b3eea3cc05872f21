package tuner

import (
	"math"
	"time"
)

// Limits on how much the share of a server may change in one step, as factors. A failing or saturated server may lose all of it.
const (
	shareDown = 0.25
	shareUp   = 3.0
	steadyUp  = 2.0  // once the load is steady: what was never tried is then approached in smaller steps
	failing   = 0.05 // error share above which a server counts as failing
)

// limit bounds the change of every share of a candidate from the weights in force.
func (c *candidate) limit(p *pool, inForce [][]float64, up float64) {
	if c.unlimited {
		return
	}
	bound := false
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			low := inForce[g][i] * shareDown
			high := math.Max(inForce[g][i]*up, 0.01)
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

// price is the predicted relative gain that a change has to bring: the fewer changes are left and the more were made
// lately, the more. The last changes are kept for what is urgent, a saturated or failing server: a small gain now is
// not worth being helpless when the load turns.
func (t *Tuner) price(urgent, steady bool) float64 {
	if t.budget.unlimited {
		return t.cfg.MinGain
	}
	used := t.budget.burst - t.budget.left()
	prices := earlyPrices[:]
	if t.budget.elapsed > t.budget.window {
		used = t.budget.perMinute - t.budget.left()
		prices = latePrices[:]
	}
	price := prices[min(max(used, 0), len(prices)-1)]
	if urgent {
		price = min(price, urgentPrice)
	}
	if steady && t.budget.elapsed > t.budget.window {
		price *= math.Exp2(t.budget.recent(backoff))
	}
	return t.cfg.MinGain * price
}

// Prices in least gains, by the number of changes used: of the burst, and per minute after it.
var (
	earlyPrices = [...]float64{1, 1.5, 2.5, 5, 10, 20}
	latePrices  = [...]float64{3, 12}
)

// backoff is the time in which a change ceases to double the price of the next one while the load is steady: what was
// to be gained has been gained.
const backoff = 45 * time.Minute

// urgentPrice is what a change costs at most when a server is saturated or fails.
const urgentPrice = 10
