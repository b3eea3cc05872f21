package tuner

import (
	"math"
	"slices"
	"time"
)

// force is what is in force in a pool, since when, and what it replaced.
type force struct {
	active   Proposal
	since    time.Duration // since the last change
	changes  int
	fresh    bool // the next interval is the first with the weights
	expected float64
	before   float64       // cost per request before the change
	load     float64       // requests per second at the change
	promised float64       // log gain that the last change was to bring; 0 when settled
	sum, n   float64       // of the log cost per request since the last change
	beforeN  float64       // mean log cost per request before it
	calm     float64       // slowly smoothed load
	sudden   time.Duration // since the load or a server changed by itself
	wary     bool          // a server seemed to change in a world that had been steady for long
	eager    int           // consecutive intervals in which a change would have paid
	bad      int           // consecutive bad intervals since the change
	cost     float64       // measured per request in the last interval, deadlines
	prior    *vector       // what the last change replaced
	lastGood *vector       // what to return to
}

// vector is a weight vector of a pool with the proposal it came from.
type vector struct {
	proposal Proposal
	x        [][]float64
}

// Limits of the guard: an interval is bad when it costs so many times what was predicted and what was before.
const (
	badFactor  = 1.3
	badNeeded  = 2
	sameLoad   = 0.25 // relative change of the load that is not blamed on the weights
	guardUntil = 30 * time.Second
)

// begin notes that a candidate (nil: only ejections changed) is put in force now.
func (p *pool) begin(c *candidate) {
	_, inForce := p.shares()
	p.prior = &vector{proposal: p.active, x: inForce}
	p.lastGood = p.prior
	if p.saturated() { // what overloads a server is nothing to return to
		p.lastGood = nil
	}
	p.before, p.load, p.bad, p.expected = p.cost, p.rate(), 0, math.Inf(1)
	if c != nil {
		p.active = c.proposal
		p.expected = c.score / math.Max(p.load, 1e-9)
	}
	p.promised, p.beforeN = 0, math.NaN()
	if p.n >= trustAfter {
		p.beforeN = p.sum / p.n
		p.promised = math.Log(math.Max(p.before, 1e-9) / math.Max(p.expected, 1e-9))
	}
	p.sum, p.n, p.eager = 0, 0, 0
	p.since, p.fresh = 0, true
	p.changes++
	for _, g := range p.groups {
		g.sinceChange = 0
	}
}

// reward credits the last interval to what was in force, unless it was still settling.
//
// The reward is −log(cost/reference), cost being (ART + a share of the response times in deadlines) per request and
// the reference what the model expects of the Tight proposal under the load of the interval: a control variate,
// without which the load of the hour would drown the difference between proposals.
func (t *Tuner) reward(p *pool, mem *regimeMemory, now [][]float64, list []candidate, e *PoolExplanation) {
	art, requests := 0.0, 0.0
	for _, g := range p.groups {
		art += g.reward.Tardiness + g.reward.Errors*t.cfg.ErrorTardiness
		requests += g.reward.Requests
		if g.reward.Basis != FromNothing {
			e.Basis = g.reward.Basis
		}
	}
	e.MeasuredReward = -p.cost
	if requests == 0 {
		return
	}
	e.ART = art / requests
	if p.changed() {
		mem.doubt()
		return
	}
	if p.since-t.interval < settleLeast && p.changes > 0 {
		return
	}
	if t.regime.Index >= 0 {
		reference := 0.0
		for i := range list {
			if list[i].proposal == Tight {
				reference = list[i].cost / p.rate()
			}
		}
		if reference > 0 && p.cost > 0 {
			r := -math.Log(p.cost / reference)
			mem.Q[p.active].Update(r, t.cfg.Gamma, mem.most(), t.cfg.LearningRate)
			mem.keep(p, now, r)
		}
	}
	p.sum, p.n = p.sum+math.Log(math.Max(p.cost, 1e-9)), p.n+1
	if p.n == trustAfter && p.promised > 0 && p.sudden > p.since {
		mem.settleTrust(p.active, p.promised, p.beforeN-p.sum/p.n)
		p.promised = 0
	}
	p.guard()
}

// trustAfter is how many rewarded intervals tell whether a change kept its promise.
const trustAfter = 8

// Patience: with a steady load and servers that have not changed, a change has to pay in several intervals in a row.
const (
	steadyAfter  = time.Minute
	steadyNeeds  = 4
	waryNeeds    = 2               // after what may have been a burst: it is over then
	longAfter    = 3 * time.Minute // of such steadiness
	longNeeds    = 20              // intervals that it then takes
	suddenFactor = 0.15            // relative change of the load that is no noise
	suddenNoise  = 5               // standard deviations of counting requests that are none, either
)

// follow notes whether the world is steady.
func (p *pool) follow(by time.Duration) {
	rate := p.rate()
	p.sudden += by
	noise := suddenNoise * math.Sqrt(p.calm/by.Seconds())
	p.wary = p.sudden >= longQuiet && p.changed() || p.wary && p.sudden < steadyAfter
	if p.calm == 0 || math.Abs(rate-p.calm) > math.Max(suddenFactor*p.calm, noise) || p.changed() || p.failing() || p.recovered() {
		p.calm, p.sudden = rate, 0
	}
	p.calm += 0.05 * (rate - p.calm)
}

// patient reports whether a change has paid long enough.
func (p *pool) patient(pays bool) bool {
	if !pays {
		p.eager = 0
		return true
	}
	p.eager++
	switch {
	case p.wary && !p.urgent():
		return p.eager >= waryNeeds
	case p.sudden < steadyAfter || p.since < steadyAfter:
		return true
	case p.sudden < longAfter || p.since < longAfter:
		return p.eager >= steadyNeeds
	}
	return p.eager >= longNeeds
}

// guard counts bad intervals after a change.
func (p *pool) guard() {
	if p.lastGood == nil || p.since > guardUntil {
		p.bad, p.lastGood = 0, nil
		return
	}
	same := math.Abs(p.rate()-p.load) <= sameLoad*p.load
	if same && p.cost > badFactor*p.before && p.cost > badFactor*p.expected && !p.disturbed() {
		p.bad++
		return
	}
	p.bad = 0
}

// changed reports whether the memory of a server was replaced in the last interval.
func (p *pool) changed() bool {
	return slices.ContainsFunc(p.stations, func(st *station) bool { return st.changed })
}

// disturbed reports whether a server changed by itself: then the weights are not to blame.
func (p *pool) disturbed() bool {
	for _, st := range p.stations {
		if st.changed || st.strange > 0 {
			return true
		}
	}
	return false
}

// revertDue reports whether the weights of before are to come back: intervals were bad, and the model, which has seen them
// too, does not say that with those it would be worse. Otherwise it is the load that has changed.
func (t *Tuner) revertDue(p *pool, now [][]float64) bool {
	if p.bad < badNeeded || p.lastGood == nil {
		return false
	}
	return p.planner.cost(p.lastGood.x, 1, 0, false) <= p.planner.cost(now, 1, 0, false)
}

// shares returns the shares served in the last interval and those that the weights in force ask for; both are the
// same for round robin.
func (p *pool) shares() (served, inForce [][]float64) {
	served, inForce = matrix(p.groups), matrix(p.groups)
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			served[g][i], inForce[g][i] = l.share, l.share
			if grp.method == LeastConn && grp.now > 0 {
				served[g][i] = l.done / grp.now
			}
			sum += inForce[g][i]
		}
		normalise(inForce[g], sum)
	}
	return served, inForce
}

// measured is the cost per second of the last intervals in the units of the plan; false: nothing was measured.
func (p *pool) measured(errorTardiness float64) (float64, bool) {
	total, cost, rate := 0.0, 0.0, 0.0
	for _, g := range p.groups {
		if g.deadline <= 0 || g.reward.Requests == 0 {
			total += g.rate * g.cost
			continue
		}
		now := g.reward.PerRequest(errorTardiness) + p.planner.meanShare*g.reward.MeanSec/g.deadline
		if g.cost == 0 || p.fresh || now < g.cost/3 { // a backlog that is gone must not linger in the mean
			g.cost = now
		}
		g.cost += 0.3 * (now - g.cost)
		total += g.rate * g.cost
		cost += g.now * now
		rate += g.now
	}
	p.fresh = false
	if rate <= 0 {
		return 0, false
	}
	p.cost = cost / rate
	return total, total > 0
}

func (p *pool) rate() float64 {
	sum := 0.0
	for _, g := range p.groups {
		sum += g.rate
	}
	return math.Max(sum, 1e-9)
}

func (p *pool) saturated() bool {
	for _, st := range p.stations {
		if st.full {
			return true
		}
	}
	return false
}

// urgent reports whether waiting costs requests: a server is saturated, or fails with a share worth mentioning.
func (p *pool) urgent() bool {
	return p.saturated() || p.failing()
}

// overloadART is the tardiness per request, in deadlines, that says that the weights of the start overload servers.
const overloadART = 1.0

// blindOverload reports whether the weights of the start overload servers, by the tardiness per request: then long waits and
// slow service look the same, and when all servers are overloaded alike, none of them keeps up to tell the load by and no other
// weights seem to be better. The first change is small then and costs nothing: what it does tells the servers apart.
func (p *pool) blindOverload() bool {
	if p.changes > 0 {
		return false
	}
	art, n := 0.0, 0.0
	for _, g := range p.groups {
		art += g.reward.Tardiness
		n += g.reward.Requests
	}
	return art > overloadART*n
}

// recovered reports whether a server that failed answers well again.
func (p *pool) recovered() bool {
	for _, g := range p.groups {
		for _, l := range g.links {
			if l.recovered {
				return true
			}
		}
	}
	return false
}

// failing reports whether a server fails with a share worth mentioning.
func (p *pool) failing() bool {
	for _, g := range p.groups {
		for _, l := range g.links {
			if l.errors > failing && l.share > 0.02 {
				return true
			}
		}
	}
	return false
}

// reach is how many times what a server was seen to carry a plan may count on. In need, more has to be dared.
func (p *pool) reach() float64 {
	if p.urgent() {
		return urgentReach
	}
	return calmReach
}

const (
	calmReach   = 1.8
	urgentReach = 4.0
)

// evidence reports whether every class that had requests has had enough since the last change.
func (p *pool) evidence(least int) bool {
	for _, g := range p.groups {
		if g.sinceChange > 0 && g.sinceChange < float64(least) {
			return false
		}
	}
	return true
}

// differs reports whether a share differs from what is in force by more than the dead band.
func (p *pool) differs(x, inForce [][]float64, band float64) bool {
	for g := range x {
		even := 1 / float64(max(len(x[g]), 1))
		for i := range x[g] {
			if math.Abs(x[g][i]-inForce[g][i]) > band*math.Max(inForce[g][i], 0.2*even) {
				return true
			}
		}
	}
	return false
}

// leastConn reports whether a group of the pool is balanced by least connections.
func (p *pool) leastConn() bool {
	for _, g := range p.groups {
		if g.method == LeastConn {
			return true
		}
	}
	return false
}
