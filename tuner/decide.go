package tuner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/weights"
)

// settleLeast is how long a change settles before it is rewarded, at least.
const settleLeast = 2 * time.Second

// decide chooses weights for a pool, adds them to w when they should change, and says why.
func (t *Tuner) decide(p *pool, w Weights) PoolExplanation {
	e := PoolExplanation{Groups: p.names(), InForce: p.active.String(), Chosen: "hold", Basis: FromNothing}
	ejected := t.ejections(p, &e)
	if reason, bound := p.hopeless(); bound != "" && !ejected {
		return e.hold(reason, bound)
	}
	known := t.known(p, &e)
	if !known {
		if ejected {
			return t.write(p, nil, w, &e, "ejection")
		}
		return e.hold("some servers have not answered anything yet", BoundUnknown)
	}
	now, inForce := p.shares()
	level, measured := p.measured(t.cfg.ErrorTardiness)
	p.planner.reach = p.reach()
	hold := p.planner.cost(now, 1, 0, false)
	floor := p.floor()
	if !measured || p.saturated() {
		level = math.Max(hold, floor)
	}
	rate := p.rate()
	p.exposed.note(p.groups)
	mem := t.memory(p)
	list := t.propose(p, mem, t.regime.Index < 0)
	blind := p.blindOverload()
	up := t.stride(p)
	if blind {
		up = math.Min(up, overloadUp)
	}
	for i := range list {
		c := &list[i]
		if p.leastConn() { // shares follow from weights only loosely: the limit is one of weights, the cost that of the aim
			c.cost = p.planner.cost(p.drawn(c.x, now, inForce), 1, 0, false)
			c.limit(p, inForce, up)
			continue
		}
		c.limit(p, inForce, up)
		c.stepwise(p, inForce)
		c.cost = p.planner.cost(c.x, 1, 0, false)
	}
	t.reward(p, mem, now, list, &e)
	mem.judge(list, p.active, level, floor, hold, t.cfg.Explore)
	risks, stakes := p.exposed.risks(p, list, now), p.stakes(list, inForce, level)
	for i := range list {
		list[i].score += risks[i] + stakes[i]
	}
	level += risks[len(list)]
	e.rows(list, mem, rate)
	best := &list[0]
	for i := range list {
		if list[i].score < best.score && !(blind && !p.differs(list[i].x, inForce, t.cfg.DeadBand)) {
			best = &list[i]
		}
	}
	gain := (level - best.score) / level
	e.PredictedGain = gain
	e.PredictedReward = -best.cost / rate
	return t.gate(p, best, now, inForce, gain, ejected, w, &e)
}

// gate lets a candidate through or holds, with the reasons.
func (t *Tuner) gate(p *pool, best *candidate, now, inForce [][]float64, gain float64, ejected bool, w Weights, e *PoolExplanation) PoolExplanation {
	if ejected {
		e.Chosen = best.proposal.String()
		return t.write(p, best, w, e, "ejection, with "+best.proposal.String())
	}
	e.Bounds = append(e.Bounds, best.bounds...)
	urgent := p.urgent()
	steady := p.sudden >= steadyAfter
	price := t.price(p, urgent, steady)
	patient := p.patient(gain >= price)
	switch {
	case t.revertDue(p, now):
		if t.budget.left() == 0 {
			return e.hold("two bad intervals after a change, but no change is left", BoundRevert, BoundBudget)
		}
		mem := t.memory(p)
		mem.settleTrust(p.active, 1, -1)
		back := candidate{proposal: p.lastGood.proposal, x: p.lastGood.x, unlimited: true}
		e.Bounds = append(e.Bounds, BoundRevert)
		e.Chosen = back.proposal.String()
		return t.write(p, &back, w, e, "two bad intervals after a change: back to the last good weights")
	case gain < price:
		if t.budget.left() == 0 {
			return e.hold(fmt.Sprintf("%s would gain %.1f %%, but no change is left", best.proposal, 100*gain), BoundBudget)
		}
		return e.hold(fmt.Sprintf("%s would gain %.1f %%, %.1f %% pay for a change", best.proposal, 100*gain, 100*price), BoundGain)
	case t.regime.Index < 0 && steady && !urgent:
		return e.hold("the regime is unknown and the load steady", BoundRegime)
	case !patient:
		return e.hold(fmt.Sprintf("%s would gain %.1f %%, for %d intervals in a row", best.proposal, 100*gain, p.eager), BoundPatience)
	case t.budget.left() == 0:
		return e.hold(fmt.Sprintf("%s would gain %.1f %%, but no change is left", best.proposal, 100*gain), BoundBudget)
	case steady && !urgent && t.budget.left() == 1:
		return e.hold(fmt.Sprintf("%s would gain %.1f %%, but the last change is kept for a way back", best.proposal, 100*gain), BoundBudget)
	case p.since < settleLeast && p.changes > 0 && !urgent:
		return e.hold("the last change is still settling", BoundSettle)
	case !urgent && !p.evidence(t.cfg.MinRequests):
		return e.hold(fmt.Sprintf("fewer than %d requests of a class since the last change", t.cfg.MinRequests), BoundEvidence)
	case !p.differs(best.x, inForce, t.cfg.DeadBand):
		return e.hold(fmt.Sprintf("%s is within %.0f %% of the weights in force", best.proposal, 100*t.cfg.DeadBand), BoundDeadBand)
	}
	e.Chosen = best.proposal.String()
	return t.write(p, best, w, e, fmt.Sprintf("%s: predicted gain %.1f %%", best.proposal, 100*gain))
}

// write adds the settings of a candidate (nil: the weights in force, with the new ejections) to w.
func (t *Tuner) write(p *pool, c *candidate, w Weights, e *PoolExplanation, reason string) PoolExplanation {
	if t.budget.left() == 0 {
		return e.hold(reason+", but no change is left", BoundBudget)
	}
	changed := false
	for g, grp := range p.groups {
		var quantised []Weight
		if c != nil {
			quantised = weights.Quantise(grp.withAbsent(c.x[g]))
		}
		m := make(map[string]Setting, len(grp.links))
		current := make(map[string]Setting, len(grp.links))
		for i, l := range grp.links {
			was := Setting{Weight: weightFrom(l.weight), Down: l.down}
			current[l.station.address] = was
			if c != nil {
				was.Weight = quantised[i]
			}
			was.Down = l.ejected.active || l.down && !l.released
			m[l.station.address] = was
		}
		if !sameGroup(m, current) {
			w[grp.name] = m
			changed = true
		}
	}
	if !changed {
		return e.hold("the weights in force round to the same", BoundDeadBand)
	}
	p.begin(c)
	e.Reason = reason
	return *e
}

// hold ends a decision without a change.
func (e *PoolExplanation) hold(reason string, bounds ...Bound) PoolExplanation {
	e.Chosen = "hold"
	e.Reason = "hold: " + reason
	e.Bounds = append(e.Bounds, bounds...)
	return *e
}

func (t *Tuner) ejections(p *pool, e *PoolExplanation) bool {
	changed := false
	for _, g := range p.groups {
		for _, l := range g.links {
			l.released = false
		}
		if !t.cfg.Eject {
			continue
		}
		c, bounds := g.eject(t.budget.elapsed)
		changed = changed || c
		for _, b := range bounds {
			if !slices.Contains(e.Bounds, b) {
				e.Bounds = append(e.Bounds, b)
			}
		}
	}
	return changed
}

// hopeless says why no weights of the pool can help now.
func (p *pool) hopeless() (string, Bound) {
	idle, choice := true, false
	for _, g := range p.groups {
		live := 0
		for _, l := range g.links {
			if !l.off() {
				live++
			}
		}
		choice = choice || live > 1
		idle = idle && g.requests == 0 && !g.missing()
		if g.allFailing() {
			return "every server of " + g.name + " fails", BoundAllFailing
		}
	}
	switch {
	case !choice:
		return "one server: nothing to choose", BoundOne
	case idle:
		return "no requests", BoundIdle
	}
	return "", ""
}

func (g *group) missing() bool {
	return slices.ContainsFunc(g.links, func(l *link) bool { return l.missing })
}

// known describes the servers and reports whether something is known of every one that is not down.
func (t *Tuner) known(p *pool, e *PoolExplanation) bool {
	all := true
	for _, st := range p.stations {
		s := ServerExplanation{Server: st.address, Saturated: st.full, Backlog: st.backlog}
		down := true
		for _, l := range st.links {
			s.Errors = math.Max(s.Errors, l.errors)
			s.Ejected = s.Ejected || l.ejected.active
			down = down && l.off()
		}
		if len(st.likely) == 0 {
			if !down && !st.borrow(t.waits) {
				all = false
			}
		}
		for _, h := range st.likely {
			s.Slots += st.fit[h].prob * slotGrid[h]
			_, rho := mix(st.arrivals(), st.fit[h].service, slotGrid[h])
			s.Utilisation += st.fit[h].prob * rho
		}
		e.Servers = append(e.Servers, s)
	}
	return all
}

// arrivals are the estimated arrivals per second by class.
func (s *station) arrivals() []float64 {
	r := make([]float64, len(s.links))
	for i, l := range s.links {
		r[i] = l.arrive
	}
	return r
}

// borrow gives a station that never answered what is expected of it; false: nothing is.
func (s *station) borrow(w *waits) bool {
	if s.expected == nil || !slices.ContainsFunc(s.expected.typical, func(v float64) bool { return v > 0 }) {
		return false
	}
	s.refit(w, s.expected, s.variances())
	return true
}

// rows puts what the table says of every candidate into the explanation.
func (e *PoolExplanation) rows(list []candidate, mem *regimeMemory, rate float64) {
	for _, c := range list {
		q := mem.Q[c.proposal]
		if k := mem.bestKept(); c.proposal == Recall && k != nil {
			q = k.Cell
		}
		e.Rows = append(e.Rows, RowExplanation{Proposal: c.proposal.String(), Value: q.Value, Visits: q.Visits,
			Predicted: -c.cost / rate, Score: -c.score / rate})
	}
}
