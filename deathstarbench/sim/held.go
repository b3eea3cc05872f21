package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Held are requests of a group that a server holds when a run begins.
type Held struct {
	Group, Server string
	Requests      int
	// Every is the time between their arrivals: the last one came so long before the start.
	Every time.Duration
}

// hold puts the requests of Options.Held where they are: the oldest in service, the others waiting; what the queue has
// no room for is left out. In service they have the rest of a service time that is met in the middle: long ones are
// met more often. They count as begun before the warm-up.
func (s *Sim) hold(held []Held) error {
	type arrived struct {
		due         int64
		group, peer int
	}
	var all []arrived
	for _, h := range held {
		g := slices.IndexFunc(s.groups, func(g group) bool { return g.name == h.Group })
		if g < 0 {
			return fmt.Errorf("requests held: no upstream %q", h.Group)
		}
		p := s.peer(&s.groups[g], h.Server)
		if p == none {
			return fmt.Errorf("requests held: upstream %s has no server %q", h.Group, h.Server)
		}
		if h.Requests < 0 || h.Every < 0 {
			return fmt.Errorf("requests held: upstream %s: server %s: %d requests, one every %v: want at least 0",
				h.Group, h.Server, h.Requests, h.Every)
		}
		for i := range h.Requests {
			all = append(all, arrived{due: -int64(h.Every) * int64(i+1), group: g, peer: p})
		}
	}
	slices.SortStableFunc(all, func(a, b arrived) int { return cmp.Compare(a.due, b.due) })
	rng := rand.New(rand.NewPCG(mix(s.opts.Seed, 1<<23), 0x4e1d))
	for _, a := range all {
		s.holdOne(a.due, a.group, a.peer, rng)
	}
	return nil
}

func (s *Sim) holdOne(due int64, group, p int, rng *rand.Rand) {
	g := &s.groups[group]
	srv := &s.servers[g.server[p]]
	if srv.busy >= srv.slots && srv.waiting >= srv.limit {
		return
	}
	i := s.pool.get()
	r := &s.pool.requests[i]
	*r = request{
		due: due, began: due, normal: rng.NormFloat64(), group: int32(group), class: g.class, peer: int32(p),
		epoch: g.epoch,
		older: s.newest, newer: none,
	}
	if s.newest == none {
		s.oldest = i
	} else {
		s.pool.requests[s.newest].newer = i
	}
	s.newest = i
	s.total++
	s.inFlight++
	s.fleet[g.balancer].inFlight++
	g.peers[p].conns++
	if g.method == LeastTime && len(g.peers) > 1 {
		t := &g.timings[p]
		t.ages -= uint64(due / int64(time.Millisecond)) // the time is 0
		t.inFlight++
	}
	if srv.busy >= srv.slots {
		r.state = queued
		srv.join(&s.pool, i)
		return
	}
	srv.busy++
	srv.served++
	r.status, r.state = 200, away
	// Lognormal times met in the middle are those of a normal deviate that is sigma larger.
	whole := srv.serviceTime(r.class, r.normal+srv.sigma)
	if !srv.exponential { // an exponential time has no memory
		whole = int64(rng.Float64() * float64(whole))
	}
	s.queue.push(event{at: whole, request: i, kind: serviceEnd})
}
