package tuner

import "math"

// regimeMemory is what was learned of one pool in one regime.
type regimeMemory struct {
	Q        [proposals]Cell    `json:"q"`
	Distrust [proposals]float64 `json:"distrust"` // 1 − how far the predicted gains of the proposal came true
	Kept     []keptVector       `json:"kept"`     // the best vectors, at most keptMost
}

// keptVector is a weight vector that was in force, and how it did.
type keptVector struct {
	Shares map[string]map[string]float64 `json:"shares"` // group, server
	Cell
}

const keptMost = 3

// poolMemory holds the regimes of one pool.
type poolMemory struct {
	Regimes map[int]*regimeMemory `json:"regimes"`
	last    *regimeMemory
}

func (m *poolMemory) at(regime int) *regimeMemory {
	if m.Regimes == nil {
		m.Regimes = make(map[int]*regimeMemory)
	}
	r := m.Regimes[regime]
	if r == nil {
		r = &regimeMemory{}
		if m.last != nil { // a new regime begins with what is known of the one before, hardly believed
			*r = *m.last
			r.Kept = append([]keptVector(nil), m.last.Kept...)
			r.discount(2)
		}
		m.Regimes[regime] = r
	}
	m.last = r
	return r
}

// most is the largest value that is known, 0 when none is.
func (r *regimeMemory) most() float64 {
	best, known := 0.0, false
	for i := range r.Q {
		if c := &r.Q[i]; c.Visits > 0 && (!known || c.Value > best) {
			best, known = c.Value, true
		}
	}
	return best
}

// keep records the reward of a vector that was in force.
func (r *regimeMemory) keep(p *pool, now [][]float64, reward float64) {
	for i := range r.Kept {
		if r.Kept[i].near(p, now) {
			r.Kept[i].Update(reward, 0, 0, 0.1)
			return
		}
	}
	v := keptVector{Shares: p.named(now)}
	v.Update(reward, 0, 0, 0.1)
	if len(r.Kept) < keptMost {
		r.Kept = append(r.Kept, v)
		return
	}
	worst := 0
	for i := range r.Kept {
		if r.Kept[i].Value < r.Kept[worst].Value {
			worst = i
		}
	}
	r.Kept[worst] = v
}

// enoughVisits is how many rewarded intervals make a kept vector worth recalling.
const enoughVisits = 3

// bestKept is the kept vector with the highest value that has been in force long enough; nil: none.
func (r *regimeMemory) bestKept() *keptVector {
	var best *keptVector
	for i := range r.Kept {
		if k := &r.Kept[i]; k.Visits >= enoughVisits && (best == nil || k.Value > best.Value) {
			best = k
		}
	}
	return best
}

// best returns the shares of bestKept for the pool as it is; nil when none is kept or the servers have changed.
func (r *regimeMemory) best(p *pool) [][]float64 {
	k := r.bestKept()
	if k == nil {
		return nil
	}
	x := matrix(p.groups)
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			share, ok := k.Shares[grp.name][l.station.address]
			if !ok {
				return nil
			}
			if !l.off() {
				x[g][i] = share
				sum += share
			}
		}
		if sum <= 0 {
			return nil
		}
		normalise(x[g], sum)
	}
	return x
}

// near reports whether a kept vector is the one given, within 3 % of every share.
func (k *keptVector) near(p *pool, x [][]float64) bool {
	for g, grp := range p.groups {
		for i, l := range grp.links {
			share, ok := k.Shares[grp.name][l.station.address]
			if !ok || math.Abs(share-x[g][i]) > 0.03*math.Max(share, x[g][i])+1e-9 {
				return false
			}
		}
	}
	return true
}

func (p *pool) named(x [][]float64) map[string]map[string]float64 {
	out := make(map[string]map[string]float64, len(p.groups))
	for g, grp := range p.groups {
		m := make(map[string]float64, len(grp.links))
		for i, l := range grp.links {
			m[l.station.address] = x[g][i]
		}
		out[grp.name] = m
	}
	return out
}

// opinion is how many rewarded intervals the model's prediction counts for, and learnedMost how many intervals of
// experience count at most.
//
// What was learned of the proposal in force was learned mostly with its weights of earlier: it says less of its weights
// for now, so that only ownMost of it counts.
const (
	ownMost     = 0.3
	opinion     = 6
	learnedMost = 12
)

// fragility is what a proposal risks when the load turns, as a share of what waiting costs now: the further classes
// are parted, the more a new mix of them hurts until it is answered.
var fragility = [proposals]float64{Loose: 0.03, Balanced: 0.01}

// judge gives every candidate its score, a cost per second: the model's prediction and what was measured of the
// proposal in this regime, by visits, less a bonus for what was rarely tried. level is the cost per second measured
// now, floor what it would be without waiting, and hold the model's cost of what is in force: predictions and
// experience are both taken relative to what is in force, so that an error of the model that is common to all
// candidates cancels, and so does the load of the hour.
func (r *regimeMemory) judge(list []candidate, active Proposal, level, floor, hold, explore float64) {
	base := r.Q[active]
	for i := range list {
		c := &list[i]
		predicted := math.Max(level*c.cost/hold, math.Min(floor, level))
		predicted += fragility[c.proposal] * math.Max(level-floor, 0)
		cell := r.Q[c.proposal]
		if c.proposal == Recall {
			if k := r.bestKept(); k != nil {
				cell = k.Cell
			}
		}
		predicted = level + (predicted-level)*(1-r.Distrust[c.proposal])
		n := math.Min(math.Min(cell.Visits, base.Visits), learnedMost)
		if c.proposal == active {
			n *= ownMost
		}
		known := level * math.Exp(math.Max(-1, math.Min(1, base.Value-cell.Value)))
		c.score = (opinion*predicted + n*known) / (opinion + n)
		c.score -= explore * (1 - r.Distrust[c.proposal]) * math.Max(level-floor, 0) / math.Sqrt(1+cell.Visits)
	}
}

// doubt discounts experience: a server has changed by itself, so that what was measured before says little.
func (r *regimeMemory) doubt() {
	clear(r.Distrust[:])
	r.discount(1)
}

// discount believes experience for so many intervals at most.
func (r *regimeMemory) discount(most float64) {
	for i := range r.Q {
		r.Q[i].Visits = math.Min(r.Q[i].Visits, most)
	}
	for i := range r.Kept {
		r.Kept[i].Visits = math.Min(r.Kept[i].Visits, most)
	}
}

// settleTrust compares what a change was to gain with what it gained, both as logarithms: predictions that do not come
// true are believed less until the world changes, so that a steady load is left alone.
func (r *regimeMemory) settleTrust(p Proposal, promised, realised float64) {
	d := &r.Distrust[p]
	switch {
	case promised <= 0:
	case realised < 0.3*promised:
		*d += 0.6 * (1 - *d)
	case realised > 0.7*promised:
		*d *= 0.6
	}
}
