package tuner

// In a large world the pools take turns, so that a control step stays short; those where a server is saturated, fails
// or has changed come first.
const (
	stepWork = 300 // servers in groups that are refitted and replanned in one step
	fitTurns = 12  // in a pool larger than stepWork, every so many'th server is refitted in a step
)

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
		if p := pools[(t.next+i)%len(pools)]; p.waiting && work < stepWork {
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
