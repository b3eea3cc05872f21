package sim

import "slices"

// Prequal (Wydrowski et al., NSDI 2024): every request sends probes to servers at random, which answer with their
// requests in flight and an estimate of the latency at that number; the answers wait in a pool. A request goes by the
// hot-cold rule: of the answers whose requests in flight are at most the RIF quantile of what was seen lately, the one
// of the least latency; if all are hot, the one of the fewest. Probes take no time here. Weights do not matter.

const (
	prequalProbes  = 3    // per request
	prequalPool    = 16   // answers at most
	prequalRemoved = 1    // answers per request, the oldest and the worst in turns, beside what is used up
	prequalUses    = 2    // how often an answer is used
	prequalOldest  = 1e9  // ns, after which an answer is dropped
	prequalHot     = 0.84 // quantile of requests in flight above which a server is hot
	// answers of a server that its latency is estimated from, and probes that the quantile is taken of
	prequalRecent = 64
	prequalNear   = 16 // of them, the nearest in requests in flight
)

// probe is the answer of a server.
type probe struct {
	peer    int
	flight  int32
	latency float64 // ns
	at      int64
	uses    int
}

// prequalState is what a group knows.
type prequalState struct {
	pool   []probe
	recent []prequalPeer
	flight []int32 // of the latest probes, a ring
	next   int
	worst  bool // the next one that is removed
}

// prequalPeer holds the latest answers of a server, a ring.
type prequalPeer struct {
	flight  []int32
	latency []float64
	next    int
}

func (p *prequalPeer) add(flight int32, latency float64) {
	if len(p.flight) < prequalRecent {
		p.flight, p.latency = append(p.flight, flight), append(p.latency, latency)
		return
	}
	p.flight[p.next], p.latency[p.next] = flight, latency
	p.next = (p.next + 1) % prequalRecent
}

// estimate is the median latency of the answers nearest in requests in flight; 0: none.
func (p *prequalPeer) estimate(flight int32) float64 {
	n := len(p.flight)
	if n == 0 {
		return 0
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	distance := func(i int) int32 { return max(p.flight[i]-flight, flight-p.flight[i]) }
	slices.SortStableFunc(order, func(a, b int) int { return int(distance(a) - distance(b)) })
	near := make([]float64, min(n, prequalNear))
	for i := range near {
		near[i] = p.latency[order[i]]
	}
	slices.Sort(near)
	return near[len(near)/2]
}

// probed tells the latency estimate of a server of an answer.
func (g *group) probed(r *request, now int64) {
	if g.method == Prequal && r.epoch == g.epoch && g.prequal.recent != nil {
		g.prequal.recent[r.peer].add(int32(r.flight), float64(now-r.began))
	}
}

// prequal picks for a request of the group.
func (s *Sim) prequal(g *group, r *request) int {
	q, sec := &g.prequal, seconds(s.now)
	if q.recent == nil {
		q.recent = make([]prequalPeer, len(g.peers))
	}
	for range prequalProbes {
		i := int(g.rng.Int32N(int32(len(g.peers))))
		srv := &s.servers[g.server[i]]
		if !g.usable(i, sec) || srv.down {
			continue
		}
		flight := srv.busy + srv.waiting
		if len(q.pool) >= prequalPool {
			q.pool = slices.Delete(q.pool, 0, 1)
		}
		q.pool = append(q.pool, probe{peer: i, flight: flight, latency: q.recent[i].estimate(flight), at: s.now})
		if len(q.flight) < prequalRecent {
			q.flight = append(q.flight, flight)
		} else {
			q.flight[q.next] = flight
			q.next = (q.next + 1) % prequalRecent
		}
	}
	q.pool = slices.DeleteFunc(q.pool, func(p probe) bool {
		return s.now-p.at > prequalOldest || p.uses >= prequalUses || !g.usable(p.peer, sec)
	})
	if len(q.pool) == 0 { // nobody answered: any that may be tried
		from := int(g.rng.Int32N(int32(len(g.peers))))
		for k := range g.peers {
			if i := (from + k) % len(g.peers); g.usable(i, sec) {
				return i
			}
		}
		return none
	}
	hot := q.hot()
	best := 0
	for i := range q.pool {
		if q.before(i, best, hot) {
			best = i
		}
	}
	chosen := q.pool[best].peer
	q.pool[best].uses++
	for i := range q.pool { // what is known of a server has one request more now
		if q.pool[i].peer == chosen {
			q.pool[i].flight++
		}
	}
	q.remove(hot)
	r.flight = uint16(min(s.servers[g.server[chosen]].busy+s.servers[g.server[chosen]].waiting, 1<<16-1))
	return chosen
}

// hot is the number of requests in flight above which a server is hot.
func (q *prequalState) hot() int32 {
	sorted := slices.Clone(q.flight)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(prequalHot*float64(len(sorted))))]
}

// before reports whether answer i is better than j.
func (q *prequalState) before(i, j int, hot int32) bool {
	a, b := &q.pool[i], &q.pool[j]
	switch {
	case a.flight > hot && b.flight > hot:
		return a.flight < b.flight
	case a.flight > hot || b.flight > hot:
		return a.flight <= hot
	}
	return a.latency < b.latency
}

// remove takes answers out of the pool, the oldest and the worst in turns, so that it does not fill with those that
// nobody wants.
func (q *prequalState) remove(hot int32) {
	for range prequalRemoved {
		if len(q.pool) <= 2 {
			return
		}
		at := 0
		if q.worst {
			for i := range q.pool {
				if q.before(at, i, hot) {
					at = i
				}
			}
		}
		q.worst = !q.worst
		q.pool = slices.Delete(q.pool, at, at+1)
	}
}
