package tuner

import (
	"cmp"
	"fmt"
	"slices"

	"trimtab/tuner/gate"
)

// A step plans all pools while they are few. Many take turns, so that a step stays short; every pool observes in every
// step.
const (
	turnLinks = 500  // servers in groups that a step plans for: about 10 ms of one core
	turnSec   = 60.0 // s of control time in which all pools have their turn, however many they are
)

// turn is how long a pool has waited to be planned, and what speaks for its being next.
type turn struct {
	sinceSec float64 // since it was planned
	planned  bool    // ever
	news     bool    // since then: another load, another regime, a server that changed
	due      bool    // in this step
}

// takeTurns says which pools are planned in a step of the given length. What cannot wait is planned at once, whatever
// it takes. Of the others so many have their turn as turnLinks allow, at least one, and enough for all to have it
// within turnSec:
//
//   - first those with a gain that has to last, those never planned, and those that have waited for turnSec;
//   - then those with news;
//   - then the rest;
//
// each the longest wait first. So a pool is planned every two turnSec at least. What a step plans follows from what
// was observed and not from how fast the machine is.
func (t *Tuner) takeTurns(seconds float64) {
	all := 0
	var waiting []*pool
	for _, p := range t.pools {
		all += p.size()
		if p.turn.due = p.turn.due || p.cannotWait(t); !p.turn.due {
			waiting = append(waiting, p)
		}
	}
	slices.SortStableFunc(waiting, func(a, b *pool) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(b.turn.sinceSec, a.turn.sinceSec))
	})
	t.crowded = all > turnLinks
	left := max(turnLinks, float64(all)*seconds/turnSec)
	for _, p := range waiting {
		if left <= 0 {
			break
		}
		p.turn.due = true
		left -= float64(p.size())
	}
}

// size is how many servers the groups of a pool have.
func (p *pool) size() (n int) {
	for _, g := range p.groups {
		n += len(g.links)
	}
	return n
}

func (p *pool) rank() int {
	switch {
	case !p.turn.planned || p.gate.LastedSec > 0 || p.turn.sinceSec >= turnSec:
		return 0
	case p.turn.news:
		return 1
	}
	return 2
}

// cannotWait reports whether a pool has to be planned at once: a server is overloaded or fails, as it was last
// believed to be and is seen now.
func (p *pool) cannotWait(t *Tuner) bool {
	if len(p.beliefs) != len(p.servers) {
		return false
	}
	for j, sv := range p.servers {
		sv.known.Refresh(&p.beliefs[j])
	}
	if p.urgent(t.params, p.beliefs) {
		return true
	}
	for _, g := range p.groups {
		if !t.ejects(g) {
			continue
		}
		for _, l := range g.links {
			fails := !l.setting.Down && l.Eject.Fails(p.beliefs[l.index].Fail[l.class], t.elapsed)
			if fails || l.Eject.Due(t.elapsed) || p.regrets(t, g, &l.Eject) {
				return true
			}
		}
	}
	return false
}

// waits lets a step pass in which others have their turn.
func (p *pool) waits(t *Tuner, seconds float64) proposal {
	p.gate.Wait(seconds)
	out := proposal{explain: p.last.explain}
	e := &out.explain
	e.Groups, e.Bounds, e.Servers = p.names(), nil, nil
	e.measure(p, t.cfg.ErrorTardiness)
	p.explainOutlook(e)
	e.hold(gate.BoundTurn, fmt.Sprintf("%s (%.0f s)", gate.BoundTurn.Words(), p.turn.sinceSec))
	return out
}
