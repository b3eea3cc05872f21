package tuner

import "math"

// exposure knows which loads a pool has had lately and how often one turned into another. Weights that are best for
// the load of now may overload a server in the interval in which it turns, before anything can be done about it: what
// a plan would cost then, times how often that happens, is part of its price.
type exposure struct {
	modes     []mode
	current   int
	turns     float64 // of the load lately, with forgetting
	intervals float64 // in which they were counted, with the same forgetting
	scratch   []float64
}

// mode is a load that was seen.
type mode struct {
	rate   []float64 // requests per second by group
	weight float64   // intervals, with forgetting
}

const (
	modesMost   = 4
	modeApart   = 0.25  // sum of the differences by group, as a share of all requests, that is another load
	modeKeep    = 0.995 // forgetting per interval
	turnDelay   = 1.5   // intervals that pass before the answer to another load is in force
	exposedMost = 20    // the cost of a load at most, as a multiple of the least of any plan
)

// note takes in the load of an interval.
func (e *exposure) note(groups []*group) {
	e.intervals = e.intervals*modeKeep + 1
	e.turns *= modeKeep
	at, least := -1, modeApart
	for i := range e.modes {
		m := &e.modes[i]
		m.weight *= modeKeep
		diff, sum := 0.0, 0.0
		for g, grp := range groups {
			diff += math.Abs(grp.rate - m.rate[g])
			sum += (grp.rate + m.rate[g]) / 2
		}
		if d := diff / math.Max(sum, 1e-9); d < least {
			at, least = i, d
		}
	}
	if at < 0 {
		at = e.open(groups)
	}
	if at != e.current && len(e.modes) > 1 {
		e.turns++
	}
	e.current = at
	m := &e.modes[at]
	m.weight++
	for g, grp := range groups {
		m.rate[g] += 0.2 * (grp.rate - m.rate[g])
	}
}

// open makes a new mode, in place of the lightest when there are many.
func (e *exposure) open(groups []*group) int {
	rate := make([]float64, len(groups))
	for g, grp := range groups {
		rate[g] = grp.rate
	}
	if len(e.modes) < modesMost {
		e.modes = append(e.modes, mode{rate: rate})
		return len(e.modes) - 1
	}
	lightest := 0
	for i := range e.modes {
		if e.modes[i].weight < e.modes[lightest].weight {
			lightest = i
		}
	}
	e.modes[lightest] = mode{rate: rate}
	return lightest
}

// risks is the risk of every candidate, and last that of what is in force.
func (e *exposure) risks(p *pool, list []candidate, now [][]float64) []float64 {
	plans := make([][][]float64, 0, len(list)+1)
	for i := range list {
		plans = append(plans, list[i].x)
	}
	return e.risk(p, append(plans, now))
}

// risk is the cost per second that each plan adds by what it would cost in the other loads, more than the best of the
// plans would.
func (e *exposure) risk(p *pool, plans [][][]float64) []float64 {
	out := make([]float64, len(plans))
	others := 0.0
	for i := range e.modes {
		if i != e.current {
			others += e.modes[i].weight
		}
	}
	if others == 0 || e.turns == 0 {
		return out
	}
	e.scratch = e.scratch[:0]
	for _, g := range p.groups {
		e.scratch = append(e.scratch, g.rate)
	}
	cost := make([]float64, len(plans))
	for i := range e.modes {
		if i == e.current {
			continue
		}
		for g, grp := range p.groups {
			grp.rate = e.modes[i].rate[g]
		}
		least := math.Inf(1)
		for k, x := range plans {
			cost[k] = p.planner.cost(x, 1, 0, false)
			least = math.Min(least, cost[k])
		}
		often := e.turns / e.intervals * turnDelay * e.modes[i].weight / others
		for k := range plans {
			out[k] += often * (math.Min(cost[k], exposedMost*least) - least)
		}
	}
	for g, grp := range p.groups {
		grp.rate = e.scratch[g]
	}
	return out
}
