package sim

// Smooth weighted round robin: every eligible peer gains its effective weight, the peer with the most is picked and
// pays the sum of all. An effective weight below the configured one grows by 1 with every pick.

// roundRobinPlain is roundRobin when every peer is healthy.
func (g *group) roundRobinPlain() int {
	best, most, total := 0, int32(-1<<31), int32(0)
	for i := range g.peers {
		p := &g.peers[i]
		c := p.current + p.weight
		p.current = c
		total += p.weight
		if c > most {
			best, most = i, c
		}
	}
	g.peers[best].current -= total
	return best
}

func (g *group) roundRobin(now int64) int {
	best, total := none, int32(0)
	for i := range g.peers {
		if !g.usable(i, now) {
			continue
		}
		p := &g.peers[i]
		p.current += p.effective
		total += p.effective
		if p.effective < p.weight {
			p.effective++
		}
		if best == none || p.current > g.peers[best].current {
			best = i
		}
	}
	if best != none {
		g.peers[best].current -= total
	}
	return best
}
