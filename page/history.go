package page

import (
	"math"

	"trimtab/vts"
)

// history keeps the course of every upstream over an hour, whatever the interval is, in a number of points that is
// bounded by how many servers there are. A point may take in several steps: when the points are used up before an hour
// is over, neighbours become one and from then on points are twice as far apart.
type history struct {
	from   uint64 // number of the first point
	t      []float64
	steps  []uint32 // that a point has taken in
	regime []int16
	pitch  float64 // s from a point to the next at least; 0: every step is a point
	groups map[string]*course
}

// course is the history of one upstream: values for every point of the history, NaN where nothing is known.
type course struct {
	p50, p99, rate, errors []float32
	names                  []string
	index                  map[string]int
	shares                 [][]float32
	seen                   uint64 // last point in which it was there
}

// What is kept of histories.
const (
	span        = 3600.0  // s
	mostPoints  = 1400    // an hour at 3 s, and the eighth that is forgotten at once
	fewPoints   = 60      // kept however many servers there are, and however long that is
	mostNumbers = 1 << 20 // shares kept in all: 4 MiB
	forgotten   = 8       // one of so many points is forgotten at once
	jitter      = 0.9     // of the pitch: an interval is not always as long as it is
)

func newHistory() *history { return &history{from: 1, groups: map[string]*course{}} }

// limit is how many points are kept.
func (h *history) limit() int {
	servers := 0
	for _, c := range h.groups {
		servers += len(c.names) + 4
	}
	return min(mostPoints, max(fewPoints, mostNumbers/max(1, servers)))
}

// last is the number of the last point.
func (h *history) last() uint64 { return h.from + uint64(len(h.t)) - 1 }

// begin has a step belong to the last point, or to a new one in which nothing is known yet. t are s since the Unix
// epoch.
func (h *history) begin(t float64, regime int) {
	kept := int16(max(-1, min(regime, math.MaxInt16)))
	if n := len(h.t); n > 0 && t-h.t[n-1] < jitter*h.pitch {
		h.steps[n-1]++
		h.regime[n-1] = kept
		return
	}
	h.room(t)
	h.t, h.steps, h.regime = append(h.t, t), append(h.steps, 1), append(h.regime, kept)
	nan := float32(math.NaN())
	for name, c := range h.groups {
		if h.last()-c.seen > uint64(len(h.t)) {
			delete(h.groups, name) // gone for as long as is kept
			continue
		}
		for _, s := range c.series() {
			*s = append(*s, nan)
		}
	}
}

// series are those of a course.
func (c *course) series() []*[]float32 {
	out := []*[]float32{&c.p50, &c.p99, &c.rate, &c.errors}
	for i := range c.shares {
		out = append(out, &c.shares[i])
	}
	return out
}

// room makes room for a point at t.
func (h *history) room(t float64) {
	const most = span * forgotten / (forgotten - 1)
	if n := len(h.t); n > fewPoints && t-h.t[0] > most {
		old := 0
		for old < n-fewPoints && t-h.t[old] > span {
			old++
		}
		h.drop(old)
	}
	for limit := h.limit(); len(h.t) >= limit; {
		if n := len(h.t); n <= fewPoints || t-h.t[0] >= most {
			h.drop(n - limit + max(1, n/forgotten))
			continue
		}
		h.pitch = max(2*h.pitch, 2*(t-h.t[0])/float64(len(h.t)))
		h.halve()
	}
}

// halve makes one point of two. Who has those of before needs all of them again, which a gap in the numbers says.
func (h *history) halve() {
	n := len(h.t)
	was := h.from
	h.from += uint64(n) + 1
	for _, c := range h.groups {
		c.seen = h.from + (max(c.seen, was)-was)/2
		for k, s := range c.series() {
			v := *s
			for i := 0; i < n; i += 2 {
				j := min(i+1, n-1)
				switch {
				case k == seriesP99:
					v[i/2] = larger(v[i], v[j])
				case k < seriesShares:
					v[i/2] = mean(v[i], v[j], h.steps[i], h.steps[j])
				default: // a share is what it was last
					v[i/2] = v[j]
				}
			}
			*s = v[:(n+1)/2]
		}
	}
	for i := 0; i < n; i += 2 {
		j := min(i+1, n-1)
		h.t[i/2], h.regime[i/2] = h.t[i], h.regime[j]
		if h.steps[i/2] = h.steps[i]; j > i {
			h.steps[i/2] += h.steps[j]
		}
	}
	h.t, h.steps, h.regime = h.t[:(n+1)/2], h.steps[:(n+1)/2], h.regime[:(n+1)/2]
}

// Places in course.series.
const (
	seriesP99    = 1
	seriesShares = 4
)

func larger(a, b float32) float32 {
	if b != b || a > b {
		return a
	}
	return b
}

// mean of two values that stand for so many steps; of one where the other is not known.
func mean(a, b float32, n, m uint32) float32 {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return (a*float32(n) + b*float32(m)) / float32(n+m)
}

// drop forgets the first points, in place.
func (h *history) drop(n int) {
	h.from += uint64(n)
	h.t = h.t[:copy(h.t, h.t[n:])]
	h.steps = h.steps[:copy(h.steps, h.steps[n:])]
	h.regime = h.regime[:copy(h.regime, h.regime[n:])]
	for _, c := range h.groups {
		for _, s := range c.series() {
			*s = (*s)[:copy(*s, (*s)[n:])]
		}
	}
}

// set takes what a step says of an upstream into the last point: means of its steps, the largest p99, the shares as
// they are.
func (h *history) set(key string, u *Upstream, g *vts.GroupSample, shares map[string]float64) {
	c := h.groups[key]
	n := len(h.t)
	if c == nil {
		c = &course{index: map[string]int{}, p50: unknown(n), p99: unknown(n), rate: unknown(n), errors: unknown(n)}
		h.groups[key] = c
	}
	c.seen = h.last()
	before := h.steps[n-1] - 1
	c.p50[n-1], c.p99[n-1] = mean(c.p50[n-1], valueOf(u.P50), before, 1), larger(c.p99[n-1], valueOf(u.P99))
	c.rate[n-1] = mean(c.rate[n-1], float32(u.RatePerSec), before, 1)
	c.errors[n-1] = mean(c.errors[n-1], float32(u.Errors), before, 1)
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

// series is what is known of an upstream from a point on, which may have grown; 0: all.
func (h *history) series(key string, since uint64) Series {
	skip := 0
	if since >= h.from && since <= h.last() {
		skip = int(since - h.from)
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
