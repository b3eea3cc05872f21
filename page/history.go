package page

import (
	"math"

	"trimtab/vts"
)

// history keeps the course of every upstream, in a number of points that is bounded by how many servers there are.
type history struct {
	from   uint64 // step of the first point
	t      []float64
	regime []int16
	groups map[string]*course
}

// course is the history of one upstream: values for every point of the history, NaN where nothing is known.
type course struct {
	p50, p99, rate, errors []float32
	names                  []string
	index                  map[string]int
	shares                 [][]float32
	seen                   uint64 // last step in which it was there
}

// What is kept of histories.
const (
	mostPoints  = 1200    // an hour at 3 s
	fewPoints   = 60      // kept however many servers there are
	mostNumbers = 1 << 20 // shares kept in all: 4 MiB
)

func newHistory() *history { return &history{groups: map[string]*course{}} }

// limit is how many points are kept.
func (h *history) limit() int {
	servers := 0
	for _, c := range h.groups {
		servers += len(c.names) + 4
	}
	return min(mostPoints, max(fewPoints, mostNumbers/max(1, servers)))
}

// begin adds a point in which nothing is known yet.
func (h *history) begin(seq uint64, t float64, regime int) {
	if len(h.t) == 0 {
		h.from = seq
	}
	if most := h.limit(); len(h.t) >= most {
		h.drop(len(h.t) - most + max(1, most/8))
	}
	h.t = append(h.t, t)
	h.regime = append(h.regime, int16(max(-1, min(regime, math.MaxInt16))))
	nan := float32(math.NaN())
	for name, c := range h.groups {
		if seq-c.seen > uint64(len(h.t)) {
			delete(h.groups, name) // gone for as long as is kept
			continue
		}
		for _, s := range []*[]float32{&c.p50, &c.p99, &c.rate, &c.errors} {
			*s = append(*s, nan)
		}
		for i := range c.shares {
			c.shares[i] = append(c.shares[i], nan)
		}
	}
}

// drop forgets the first points, in place.
func (h *history) drop(n int) {
	h.from += uint64(n)
	h.t = h.t[:copy(h.t, h.t[n:])]
	h.regime = h.regime[:copy(h.regime, h.regime[n:])]
	for _, c := range h.groups {
		for _, s := range []*[]float32{&c.p50, &c.p99, &c.rate, &c.errors} {
			*s = (*s)[:copy(*s, (*s)[n:])]
		}
		for i, s := range c.shares {
			c.shares[i] = s[:copy(s, s[n:])]
		}
	}
}

// set fills in the last point of an upstream.
func (h *history) set(seq uint64, key string, u *Upstream, g *vts.GroupSample, shares map[string]float64) {
	c := h.groups[key]
	n := len(h.t)
	if c == nil {
		c = &course{index: map[string]int{}, p50: unknown(n), p99: unknown(n), rate: unknown(n), errors: unknown(n)}
		h.groups[key] = c
	}
	c.seen = seq
	c.p50[n-1], c.p99[n-1] = valueOf(u.P50), valueOf(u.P99)
	c.rate[n-1], c.errors[n-1] = float32(u.RatePerSec), float32(u.Errors)
	for i := range g.Peers {
		server := g.Peers[i].Server
		share, known := shares[server]
		if !known {
			continue
		}
		at, there := c.index[server]
		if !there {
			if len(c.names) >= serversDrawn {
				continue
			}
			at = len(c.names)
			c.index[server] = at
			c.names = append(c.names, server)
			c.shares = append(c.shares, unknown(n))
		}
		c.shares[at][n-1] = float32(share)
	}
}

// serversDrawn is of how many servers of an upstream the share is drawn: more lines than that tell nothing apart.
const serversDrawn = 40

func unknown(n int) []float32 {
	out := make([]float32, n, n+n/4+16)
	for i := range out {
		out[i] = float32(math.NaN())
	}
	return out
}

func valueOf(v *float64) float32 {
	if v == nil {
		return float32(math.NaN())
	}
	return float32(*v)
}

// series is what is known of an upstream after a step; since 0: all.
func (h *history) series(key string, since uint64) Series {
	skip := 0
	if since >= h.from && since > 0 {
		skip = min(len(h.t), int(since-h.from)+1)
	}
	s := Series{From: h.from + uint64(skip), T: h.t[skip:], Regime: h.regime[skip:], Names: []string{},
		Shares: [][]*float32{}}
	s.T, s.Regime = append([]float64{}, s.T...), append([]int16{}, s.Regime...)
	c := h.groups[key]
	if c == nil {
		nothing := make([]*float32, len(s.T))
		s.P50, s.P99, s.Rate, s.Errors = nothing, nothing, nothing, nothing
		return s
	}
	s.P50, s.P99, s.Rate, s.Errors = values(c.p50[skip:]), values(c.p99[skip:]), values(c.rate[skip:]),
		values(c.errors[skip:])
	for i, name := range c.names {
		s.Names = append(s.Names, shown(name))
		s.Shares = append(s.Shares, values(c.shares[i][skip:]))
	}
	return s
}

func values(in []float32) []*float32 {
	out := make([]*float32, len(in))
	for i, v := range in {
		if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
			out[i] = &v
		}
	}
	return out
}
