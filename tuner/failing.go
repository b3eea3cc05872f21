package tuner

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"trimtab/tuner/gate"
	"trimtab/tuner/plan"
	"trimtab/tuner/queueing"
)

const (
	shunLeast  = 0.005 // share of a group's requests that a server which fails is left with,
	shunEnough = 0.015 // up to so much where they are few: enough to see it heal
	shunPerSec = 0.5
	shunFrom   = 0.12 // of which so much is enough where it is no chance: less than a half of an interval of them
	shunSure   = 1.65 // standard deviations: 1 in 20 by chance
	shunMost   = 0.02 // share that it may have until the next change that pays
)

// shunned is the share that a server of the group is left with when it fails.
func (g *group) shunned() float64 {
	return min(max(shunLeast, shunPerSec/max(g.rate.PerSec(), shunPerSec)), shunEnough)
}

// judge notes which servers fail so many requests of a group that they are no use to it, beyond what the best of its
// peers fails too, and in the problem which of them are needed all the same. One stays so until it hardly fails any
// more: of the few requests that it is sent, some are answered by chance.
func (p *pool) judge(t *Tuner, problem *plan.Problem) {
	par, beliefs := t.params, problem.Beliefs
	for n, g := range p.groups {
		shared := 1.0
		for _, l := range g.links {
			if !l.off() {
				shared = min(shared, beliefs[l.index].Fail[l.class])
			}
		}
		for i, l := range g.links {
			own := beliefs[l.index].Fail[l.class] - shared
			chance := shunSure * math.Sqrt(max(0, own*(1-own))/(par.FailureFew+l.ended))
			was := l.Useless
			fails := own >= gate.EjectAt || own >= shunFrom && own-chance > par.Failing || was && own > par.Failing
			fails = fails && !l.off()
			l.Useless = fails && p.spared(t, problem, l)
			problem.Groups[n].Links[i].Needed = fails && !l.Useless
			if was && !l.Useless && !l.off() { // it has healed, or is missed
				p.quietSec, p.turn.news = 0, true
			}
		}
	}
}

// shun leaves servers that are no use next to nothing: in the interval in which a failure begins half of what is seen
// is from before, so that a plan goes half of the way. Under round robin the plan x must give them less than half of an
// equal share: there one that is slow to answer is no sooner missed than all others drown.
func (p *pool) shun(x plan.Shares) {
	for g, grp := range p.groups {
		freed, kept, floor := 0.0, 0.0, grp.shunned()
		var left []int
		for i, l := range grp.links {
			switch {
			case !l.Useless:
				kept += x[g][i]
			case grp.method.LoadAware() || x[g][i] < 0.5/float64(len(grp.links)):
				left = append(left, i)
				freed += x[g][i] - floor
			}
		}
		if kept <= 0 || kept+freed <= 0 {
			continue
		}
		for i, l := range grp.links {
			if !l.Useless {
				x[g][i] *= 1 + freed/kept
			}
		}
		for _, i := range left {
			x[g][i] = floor
		}
	}
}

// shuns reports whether settings that give the shares x rid a group of a server that fails, which it has yet. Such a
// change has not to last, to settle or to pay: one has to be left, and requests to be there.
func (p *pool) shuns(now, x plan.Shares) bool {
	for g, grp := range p.groups {
		for i, l := range grp.links {
			if l.Useless && now[g][i] > shunMost && x[g][i] <= shunMost {
				return true
			}
		}
	}
	return false
}

// ejects reports whether failing servers of the group may be marked down.
func (t *Tuner) ejects(g *group) bool { return t.cfg.Eject || t.cfg.EjectIdle && g.method.LoadAware() }

// allFail reports whether every server of the group that is sent requests fails most of them.
func (g *group) allFail() bool {
	return !slices.ContainsFunc(g.links, func(l *link) bool { return !l.off() && l.Fail <= 0.5 })
}

// regrets reports whether a server that is left out had better not be: requests cost more than before, or queues are
// long at all others. A server that refuses what the others cannot carry keeps them from drowning.
func (p *pool) regrets(t *Tuner, g *group, e *gate.Ejection) bool {
	if !e.Active {
		return false
	}
	return e.Dearer(g.cost(t)) || !slices.ContainsFunc(g.links, func(l *link) bool {
		b := &p.beliefs[l.index]
		return !l.off() && b.Queue() <= t.params.LongWait*b.MeanSlots()
	})
}

// spared reports whether the others can do without a server that fails: by what was seen while it was left out, now or
// of late, else by what is believed.
func (p *pool) spared(t *Tuner, problem *plan.Problem, l *link) bool {
	for _, e := range []*gate.Ejection{&l.Shun, &l.Eject} {
		if e.Active {
			return !p.regrets(t, l.group(), e)
		}
		if e.InVain(t.elapsed) {
			return false
		}
	}
	return p.spares(problem, l)
}

// leftOut tells that a server was left out, or let back.
func (p *pool) leftOut(t *Tuner, l *link, e *gate.Ejection, out bool) {
	g := l.group()
	if out {
		e.Out(l.part, g.cost(t), t.elapsed)
	} else {
		e.Back(p.regrets(t, g, e), t.elapsed)
	}
}

// cost is what a request of the group cost in the last interval, in deadlines.
func (g *group) cost(t *Tuner) float64 { return g.measured.PerRequest(t.cfg.ErrorTardiness) }

// spares reports whether a server that fails is better left out: the others can carry all, or it fails most requests
// and they hardly wait, so that nobody knows yet what they cannot carry. Clients that are refused at once and ask again
// make a load of which nobody knows how much would be left for the others.
func (p *pool) spares(problem *plan.Problem, l *link) bool {
	waits := func(other *link) bool {
		return other != l && !other.off() && other.server.known.Waiting() > problem.Params.QuietWait
	}
	g := l.group()
	tried := l.Fail > gate.EjectTry && !g.allFail() && !slices.ContainsFunc(g.links, waits)
	return tried || problem.Capacity()*queueing.NearFull >= 1
}

// ejections are the links to be marked down or let back.
func (p *pool) ejections(t *Tuner, problem *plan.Problem, e *PoolExplanation) (out []*link) {
	beliefs := problem.Beliefs
	for n, g := range p.groups {
		if !t.ejects(g) {
			continue
		}
		live, ejected := 0, 0
		for _, l := range g.links {
			if !l.off() {
				live++
			}
			if l.Eject.Active {
				ejected++
			}
		}
		for i, l := range g.links {
			switch {
			case l.Eject.Due(t.elapsed) || l.Eject.Active && g.allFail():
				out = append(out, l)
				ejected--
				live++
			case p.regrets(t, g, &l.Eject): // with what the others cannot carry, and at once
				l.setting.Down, problem.Groups[n].Links[i].Off = false, false
				out = append(out, l)
				ejected--
				live++
			case l.off() || !l.Eject.Fails(beliefs[l.index].Fail[l.class], t.elapsed):
			case !t.cfg.Eject && l.part < gate.EjectPart:
			case ejected >= gate.MostEjected(len(g.links)) || live <= 1 || !p.spares(problem, l):
				e.Bounds = append(e.Bounds, gate.BoundEject)
			default:
				out = append(out, l)
				ejected++
				live--
			}
		}
	}
	return out
}

// explainEjections says which servers are marked down or let back.
func explainEjections(links []*link) string {
	var out []string
	for _, l := range links[:min(len(links), reasonsMost)] {
		what := "is marked down, for it fails"
		if l.Eject.Active {
			what = "is let back"
		}
		out = append(out, fmt.Sprintf("%s of %s %s", l.server.address, l.group().name, what))
	}
	return strings.Join(out, ", ")
}

// Ejected are the servers that are marked down for failing, by group.
func (t *Tuner) Ejected() map[string][]string {
	var out map[string][]string
	for _, p := range t.pools {
		for _, g := range p.groups {
			for _, l := range g.links {
				if l.Eject.Active {
					if out == nil {
						out = map[string][]string{}
					}
					out[g.name] = append(out[g.name], l.server.address)
				}
			}
		}
	}
	return out
}

// Asked tells, before an interval is observed, that an ejected server was asked beside NGINX, and whether it answered
// as it should. One that does not is not tried by requests; one that does is let back at once, unless it failed after
// it was let back so.
func (t *Tuner) Asked(group, server string, answers bool) {
	for _, p := range t.pools {
		for _, g := range p.groups {
			if g.name != group {
				continue
			}
			for _, l := range g.links {
				if l.server.address == server && l.Eject.Active {
					l.Eject.Asked, l.Eject.Answers = true, answers
				}
			}
		}
	}
}
