package sim

// Least connections: the peer with the fewest active requests per weight. When several have equally few, smooth
// weighted round robin chooses, among those from the first of them on.

// leastConnPlain is leastConn when every peer is healthy.
func (g *group) leastConnPlain() int {
	peers := g.peers
	best, many := 0, false
	conns, weight := peers[0].conns, peers[0].weight
	for i := 1; i < len(peers); i++ {
		p := &peers[i]
		if a, b := p.conns*weight, conns*p.weight; a < b {
			best, many = i, false
			conns, weight = p.conns, p.weight
		} else if a == b {
			many = true
		}
	}
	if !many {
		return best
	}
	total, first := int32(0), best
	for i := first; i < len(peers); i++ {
		p := &peers[i]
		if p.conns*weight != conns*p.weight {
			continue
		}
		p.current += p.weight
		total += p.weight
		if p.current > peers[best].current {
			best = i
		}
	}
	peers[best].current -= total
	return best
}

func (g *group) leastConn(now int64) int {
	best, many := none, false
	for i := range g.peers {
		if !g.usable(i, now) {
			continue
		}
		p := &g.peers[i]
		if best == none {
			best = i
			continue
		}
		b := &g.peers[best]
		if l, r := p.conns*b.weight, b.conns*p.weight; l < r {
			best, many = i, false
		} else if l == r {
			many = true
		}
	}
	if !many {
		return best
	}
	total := int32(0)
	for i := best; i < len(g.peers); i++ {
		p, b := &g.peers[i], &g.peers[best]
		if p.conns*b.weight != b.conns*p.weight || !g.usable(i, now) {
			continue
		}
		p.current += p.effective
		total += p.effective
		if p.effective < p.weight {
			p.effective++
		}
		if p.current > b.current {
			best = i
		}
	}
	g.peers[best].current -= total
	return best
}
