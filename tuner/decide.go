package tuner

import (
	"fmt"
	"math"

	"trimtab/deathstarbench/twin"
	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
	"trimtab/tuner/queueing"
	"trimtab/weights"
)

// proposal is what an interval made of a pool: settings that are wanted, and why they are or are not.
type proposal struct {
	want    weights.Set // groups that would change; nil: hold
	eject   []*link     // links that are marked down or let back by want
	explain PoolExplanation
}

// propose works out what is wanted for a pool after an interval of the given length.
func (p *pool) propose(t *Tuner, beliefs []estimate.Belief, seconds float64, edited bool) proposal {
	out := proposal{explain: PoolExplanation{Groups: p.names(), Chosen: "hold"}}
	e := &out.explain
	e.measure(p, t.cfg.ErrorTardiness)
	urgent := p.urgent(t.params, beliefs)
	problem := p.problem(t, beliefs, urgent)
	regime, _ := t.regime()
	problem.Demand = t.demand(p, p.experience.enter(regime), problem)
	p.explainOutlook(e)
	p.experience.observe(t, p, problem, seconds)
	e.regimes(t, p, problem)
	if edited {
		p.gate, p.quietSec = gate.State{}, 0
		e.hold(gate.BoundOperator, gate.BoundOperator.Words())
		return out
	}
	ejections := p.ejections(t, problem, e)
	if bound := p.hopeless(beliefs); bound != "" && len(ejections) == 0 {
		if bound == gate.BoundIdle {
			p.gate.Idle(t.params, seconds)
		}
		e.hold(bound, bound.Words())
		return out
	}
	now := p.shares
	p.judge(t, problem)
	x := p.candidate(problem, now)
	p.shun(x)
	p.bound(x)
	want, rounded := p.settings(x, ejections)
	q := gate.Question{Urgent: urgent, QuietSec: p.quietSec}
	q.Differs = differs(rounded, now, t.params.DeadBand)
	q.Fresh = t.fresh(p)
	costs := problem.Costs(now, rounded)
	hold, change := costs[0], costs[1]
	q.GainShare = 1 - math.Exp(change-hold)
	e.PredictedReward = -change
	e.PredictedGain = q.GainShare
	e.Advice = p.advise(t, problem, want, q.Urgent)
	p.gate.Observe(t.params, &t.budget, seconds, q)
	v := p.gate.Judge(t.params, &t.budget, q)
	e.Price = v.Price
	if math.IsInf(v.Price, 1) {
		e.Price = noneLeft
	}
	switch {
	case len(ejections) > 0:
		out.want, out.eject = p.changed(want), ejections
		e.change(explainEjections(ejections))
	case p.astray(now) > p.astray(rounded)+strayed:
		out.want = p.changed(want)
		e.change("a share is brought within its limits")
	case p.gate.IdleSec == 0 && t.budget.Allows(true) && p.shuns(now, rounded):
		out.want = p.changed(want)
		e.change("a server that fails is left next to nothing")
	case !v.Pass:
		e.hold(v.Bound, v.Reason)
	default:
		out.want = p.changed(want)
		if len(out.want) == 0 {
			e.hold(gate.BoundDeadBand, "the weights in force round to the same")
			return out
		}
		e.change(fmt.Sprintf("%.0f %% better expected", 100*q.GainShare))
		p.forecast(t, problem, out.want, e)
	}
	return out
}

// candidate is the plan, each difference to what is in force less what is noise.
func (p *pool) candidate(problem *plan.Problem, now plan.Shares) plan.Shares {
	x := problem.Solve(problem.Proportional())
	for g, grp := range p.groups {
		total := 0.0
		for i, l := range grp.links {
			b := &problem.Beliefs[l.index]
			if l.off() || now[g][i] <= 0 || x[g][i] <= 0 || b.Fail[l.class] > problem.Params.Failing {
				total += x[g][i]
				continue
			}
			d := math.Log(x[g][i] / now[g][i])
			noise := problem.Params.Significant * b.SpeedSD
			x[g][i] = now[g][i] * math.Exp(math.Copysign(math.Max(0, math.Abs(d)-noise), d))
			total += x[g][i]
		}
		for i := range x[g] {
			if total > 0 {
				x[g][i] /= total
			}
		}
	}
	return x
}

// inForce are the shares of the weights in force, of what is not off; settings may replace what is in force.
func (p *pool) inForce(settings weights.Set) plan.Shares {
	out := make(plan.Shares, len(p.groups))
	for g, set := range p.weights(settings) {
		out[g] = twin.Shares(set)
	}
	return out
}

// settings are the settings of every server for shares, with the ejections given, and the shares that they round to.
// Servers that take no requests now keep their part of the weights, for when they return.
func (p *pool) settings(x plan.Shares, ejections []*link) (weights.Set, plan.Shares) {
	out := make(weights.Set, len(p.groups))
	for g, grp := range p.groups {
		all, absent := 0.0, 0.0
		for _, l := range grp.links {
			w := float64(l.setting.Weight.Int())
			all += w
			if l.off() {
				absent += w
			}
		}
		v := make([]float64, len(grp.links))
		for i, l := range grp.links {
			if l.off() {
				v[i] = float64(l.setting.Weight.Int()) / all
			} else {
				v[i] = x[g][i] * (1 - absent/all)
			}
		}
		quantised := weights.Quantise(v)
		set := make(weights.Group, len(grp.links))
		for i, l := range grp.links {
			set[l.server.address] = weights.Setting{Weight: quantised[i], Down: l.setting.Down}
		}
		out[grp.name] = set
	}
	for _, l := range ejections {
		g := l.group()
		s := out[g.name][l.server.address]
		s.Down = !l.Eject.Active
		out[g.name][l.server.address] = s
	}
	return out, p.inForce(out)
}

// changed are the groups of want that are not in force.
func (p *pool) changed(want weights.Set) weights.Set {
	out := weights.Set{}
	for _, g := range p.groups {
		if !want[g.name].Equal(g.ledger.InForce) {
			out[g.name] = want[g.name]
		}
	}
	return out
}

// differs reports whether any share differs by more than band of itself, and by half of it of an equal share.
func differs(x, now plan.Shares, band float64) bool {
	for g := range x {
		for i := range x[g] {
			if d := math.Abs(x[g][i] - now[g][i]); d > band*now[g][i] && d > band/2/float64(len(x[g])) {
				return true
			}
		}
	}
	return false
}

// urgent reports whether a server of a round robin is overloaded or fails: load-aware methods look after themselves. A
// short queue is no emergency while the server is sent less than it serves, for then it goes by itself.
func (p *pool) urgent(par *params.Params, beliefs []estimate.Belief) bool {
	used := make([]float64, len(p.servers))
	for g, grp := range p.groups {
		for i, l := range grp.links {
			b := &beliefs[l.index]
			sent := grp.rate.PerSec() * p.shares[g][i] * b.Slowed()
			for _, h := range b.Slots {
				used[l.index] += h.Probability * sent * h.ServiceSec[l.class] / h.Slots
			}
		}
	}
	for _, g := range p.groups {
		if g.method.LoadAware() {
			continue
		}
		for _, l := range g.links {
			if l.off() {
				continue
			}
			b := &beliefs[l.index]
			if b.Fail[l.class] > par.Failing {
				return true
			}
			queue := b.Queue()
			if queue > 0 && len(b.Slots) > 0 && (used[l.index] > queueing.NearFull || queue > par.LongWait*b.MeanSlots()) {
				return true
			}
		}
	}
	return false
}

// hopeless says why no weights of the pool can help now; empty: they may.
func (p *pool) hopeless(beliefs []estimate.Belief) gate.Bound {
	choice, idle, known := false, true, true
	for _, g := range p.groups {
		live, least := 0, math.Inf(1)
		for _, l := range g.links {
			if l.off() {
				continue
			}
			live++
			b := &beliefs[l.index]
			known = known && len(b.Slots) > 0
			least = math.Min(least, b.Fail[l.class])
		}
		if live > 0 && least > 0.5 {
			return gate.BoundAllFailing
		}
		choice = choice || live > 1
		idle = idle && g.measured.Requests == 0
	}
	switch {
	case !choice:
		return gate.BoundOne
	case idle:
		return gate.BoundIdle
	case !known:
		return gate.BoundUnknown
	}
	return ""
}
