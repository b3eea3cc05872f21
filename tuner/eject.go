package tuner

import (
	"math"
	"time"
)

// ejection is the state of one server of one group that was marked down for failing.
type ejection struct {
	since  time.Duration // control time when it was ejected or let back
	wait   time.Duration // until it is tried again; doubles with every relapse
	active bool          // down by our doing
}

const (
	ejectAt    = 0.25 // error share that ejects
	ejectFirst = 30 * time.Second
	ejectMost  = 10 * time.Minute
)

// eject marks failing servers of a group down and lets them back after a while, at most one server in ten of the
// group and never the last. changed says whether a setting has to change; bounds what stood in the way.
func (g *group) eject(now time.Duration) (changed bool, bounds []Bound) {
	live, out := 0, 0
	for _, l := range g.links {
		if l.down {
			if l.ejected.active {
				out++
			}
		} else {
			live++
		}
	}
	most := max(1, len(g.links)/10)
	for _, l := range g.links {
		e := &l.ejected
		switch {
		case e.active && !l.down: // somebody else let it back
			e.active, e.since = false, now
		case e.active && now-e.since >= e.wait:
			e.active, e.since, l.released = false, now, true
			l.errors, l.errorsOf = 0.1, 5 // on probation: little share until it answers well
			out--
			live++
			changed = true
		case e.active || l.down || l.errors < ejectAt || l.errorsOf < 10:
			if !e.active && e.wait > 0 && now-e.since > 4*e.wait {
				e.wait = 0
			}
		case out >= most || live <= 1:
			bounds = append(bounds, BoundEject)
		default:
			e.wait = min(ejectMost, max(ejectFirst, 2*e.wait))
			e.active, e.since = true, now
			out++
			live--
			changed = true
		}
	}
	return changed, bounds
}

// allFailing reports whether no server of the group answers well: then weights cannot help.
func (g *group) allFailing() bool {
	least := math.Inf(1)
	for _, l := range g.links {
		if !l.off() && l.errorsOf > 0 {
			least = math.Min(least, l.errors)
		}
	}
	return least > 0.5 && !math.IsInf(least, 1)
}

// leastWeight is the share by weight below which a failing server is left to least connections whatever its weight.
const leastWeight = 0.02

// drawn is x with the shares that failing servers are going to serve all the same: to least connections, fast failures look
// like a fast server. Less of a weight that is next to nothing changes nothing about that.
func (p *pool) drawn(x, served, inForce [][]float64) [][]float64 {
	out := x
	for g, grp := range p.groups {
		kept, rest := 0.0, 0.0
		for i, l := range grp.links {
			if l.clings(x[g][i], served[g][i], inForce[g][i]) {
				kept += served[g][i]
			} else {
				rest += x[g][i]
			}
		}
		if kept == 0 || kept >= 1 || rest <= 0 {
			continue
		}
		if &out[0] == &x[0] {
			out = cloneMatrix(x)
		}
		for i, l := range grp.links {
			if l.clings(x[g][i], served[g][i], inForce[g][i]) {
				out[g][i] = served[g][i]
			} else {
				out[g][i] *= (1 - kept) / rest
			}
		}
	}
	return out
}

// clings reports whether a failing server of least connections keeps what it is served, whatever less it is given.
func (l *link) clings(x, served, inForce float64) bool {
	return l.group.method == LeastConn && !l.off() && l.errors > failing && inForce <= leastWeight && x < served
}
