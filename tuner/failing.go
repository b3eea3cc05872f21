package tuner

import (
	"math"

	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
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
// peers fails too. One stays so until it hardly fails any more: of the few requests that it is sent, some are answered
// by chance.
func (p *pool) judge(par *params.Params, beliefs []estimate.Belief) {
	for _, g := range p.groups {
		shared := 1.0
		for _, l := range g.links {
			if !l.off() {
				shared = min(shared, beliefs[l.index].Fail[l.class])
			}
		}
		for _, l := range g.links {
			own := beliefs[l.index].Fail[l.class] - shared
			chance := shunSure * math.Sqrt(max(0, own*(1-own))/(par.FailureFew+l.ended))
			was := l.Useless
			l.Useless = !l.off() && (own >= gate.EjectAt || own >= shunFrom && own-chance > par.Failing ||
				was && own > par.Failing)
			if was && !l.Useless && !l.off() { // it has healed
				p.quietSec, p.turn.news = 0, true
			}
		}
	}
}

// shun leaves servers that fail next to nothing where the plan x gives them less than half of an equal share, which
// says that the others can carry the rest. In the interval in which a failure begins half of what is seen is from
// before, so that a plan goes half of the way.
func (p *pool) shun(x plan.Shares) {
	for g, grp := range p.groups {
		freed, kept, floor := 0.0, 0.0, grp.shunned()
		var left []int
		for i, l := range grp.links {
			switch {
			case !l.Useless:
				kept += x[g][i]
			case x[g][i] < 0.5/float64(len(grp.links)):
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
