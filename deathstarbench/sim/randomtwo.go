package sim

// Random two least_conn: two different peers are drawn with chances in proportion to their weights, and the one with
// fewer active requests per weight is picked (the second one of equals). After 20 draws that hit a peer which cannot be
// used, NGINX falls back to round robin.
func (g *group) randomTwo(now int64) int {
	total := int32(0)
	for i := range g.peers {
		total += g.peers[i].weight
	}
	first := none
	for tries := 0; tries <= 20; {
		x := g.rng.Int32N(total)
		i := 0
		for x >= g.peers[i].weight {
			x -= g.peers[i].weight
			i++
		}
		if i == first || !g.plain && !g.usable(i, now) {
			tries++
			continue
		}
		if first == none {
			first = i
			continue
		}
		a, b := &g.peers[first], &g.peers[i]
		if b.conns*a.weight > a.conns*b.weight {
			return first
		}
		return i
	}
	if g.plain {
		return g.roundRobinPlain()
	}
	return g.roundRobin(now)
}
