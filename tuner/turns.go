package tuner

import "slices"

// In a large world the pools take turns, so that a control step stays short; those where a server is saturated, fails
// or has changed come first. In a pool larger than a step can work on, so do the servers.
const (
	stepWork    = 300   // servers in groups that are refitted and replanned in one step
	fitBudget   = 40000 // work of fits (station.fitWork) of a step after which servers wait for the next one
	firstBudget = 3     // times as much for servers that nothing is known of: nothing else is to be done yet
)

// fitWork is what fitting so many numbers of slots costs: points times classes, and what comes with each.
func (s *station) fitWork(fits int) int { return fits * (len(s.points) + 1) * (len(s.links) + 2) }

// replace replaces the memory of the stations that have to, and returns the work of their fits. In a large world those beyond
// the budget keep what is known of them until the next step, if that contradicts it too: saturated ones are served
// first, then those with the most against them, which grows while they wait.
func (t *Tuner) replace(doubted []*station) (work int) {
	bounded := t.topo.links > stepWork
	if bounded {
		slices.SortStableFunc(doubted, func(a, b *station) int {
			switch {
			case a.full && !b.full:
				return -1
			case b.full && !a.full:
				return 1
			}
			return b.strange - a.strange
		})
	}
	for _, s := range doubted {
		if bounded && work >= fitBudget {
			break
		}
		work += s.replace(t.waits)
	}
	return work
}

// refit brings expectations and fits up to date and returns the work that was; in a large pool those of servers that have lost their
// fit, which replace has counted, and of others as far as so much work allows: first of those never fitted, then in turn, at
// least one.
func (p *pool) refit(w *waits, allowed int) (work int) {
	others, n := p.expect()
	refit := func(st *station) int {
		st.expectFrom(&others, n)
		if len(st.points) == 0 {
			return 0
		}
		return st.refit(w, st.expected, st.variances())
	}
	for _, st := range p.stations {
		switch {
		case !p.large:
			work += refit(st)
		case len(st.likely) > 0:
		case st.fits > 0:
			refit(st)
		case work < firstBudget*allowed:
			work += refit(st)
		}
	}
	for i := 0; p.large && i < len(p.stations) && (i == 0 || work < allowed); i++ {
		work += refit(p.stations[p.next%len(p.stations)])
		p.next++
	}
	return work
}

// takeTurns decides which pools are refitted and decided in this step.
func (t *Tuner) takeTurns() {
	pools := t.topo.pools
	if t.topo.links <= stepWork {
		for _, p := range pools {
			p.due = true
		}
		return
	}
	work := 0
	for _, p := range pools {
		p.due = false
		for _, st := range p.stations {
			p.waiting = p.waiting || st.changed
		}
		p.waiting = p.waiting || p.urgent()
	}
	take := func(p *pool) {
		p.due, p.waiting = true, false
		for _, g := range p.groups {
			work += len(g.links)
		}
	}
	for i := range pools {
		if p := pools[(t.next+i)%len(pools)]; p.waiting && 3*work < 2*stepWork { // the last third is for the others
			take(p)
		}
	}
	// The others in order, at least one: nobody waits for ever.
	for i := 0; i < len(pools) && (i == 0 || work < stepWork); i++ {
		p := pools[t.next%len(pools)]
		t.next++
		if !p.due {
			take(p)
		}
	}
}
