package sim

import "math"

// Peak-EWMA with two choices, as Finagle and Linkerd balance: of two peers drawn at random the one with the lower
// cost is picked, the cost being the moving average of its response times times one more than its active requests. The
// average jumps to a response time above it at once and decays from it with a time constant of 10 s. A peer without
// history that has a request out costs more than any with history. Weights do not matter.

const (
	peakEWMADecay   = 10e9 // ns
	peakEWMAPenalty = math.MaxInt64 >> 16
)

func (t *timing) observe(now, took float64) {
	keep := math.Exp(-math.Max(now-t.stamp, 0) / peakEWMADecay)
	if took > t.peak {
		t.peak = took
	} else {
		t.peak = t.peak*keep + took*(1-keep)
	}
	t.stamp = now
}

func (g *group) peakEWMACost(i int, now int64) float64 {
	t, conns := &g.timings[i], float64(g.peers[i].conns)
	t.observe(float64(now), 0)
	if t.peak == 0 && conns > 0 {
		return peakEWMAPenalty + conns
	}
	return t.peak * (conns + 1)
}

// peakEWMA picks at the time now in ns; sec is the same in s.
func (g *group) peakEWMA(now, sec int64) int {
	first := none
	n := int32(len(g.peers))
	for range 20 {
		i := int(g.rng.Int32N(n))
		if i == first || !g.usable(i, sec) {
			continue
		}
		if first == none {
			first = i
			continue
		}
		if g.peakEWMACost(i, now) < g.peakEWMACost(first, now) {
			return i
		}
		return first
	}
	for i := range g.peers { // few are usable: the first of them
		if first == none && g.usable(i, sec) {
			first = i
		}
	}
	return first
}
