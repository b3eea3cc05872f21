package sim

import "math"

// Join the shortest expected delay, clairvoyantly: the request goes to the server that would answer it first. The
// method knows how much of every service is left, how large all waiting requests and this one are, the delay of the
// network, and which faults are on. No balancer can know that: it is the floor that others are measured against. It is
// not the optimum: it is greedy, request by request, and where servers are far apart it fills the near ones up to the
// last slot before it goes further (scenario distant: mean 10 % above least_conn).
//
//	delay = max(0, (Σ left of those in service + Σ size of those waiting) / slots)  (0 while a slot is free)
//	        + size + network
//
// Weights do not matter.

// troubleCost is what a certain failure counts as, ns: ten seconds.
const troubleCost = 10e9

// jsed picks for a request of the group.
func (s *Sim) jsed(g *group, r *request) int {
	sec := seconds(s.now)
	left := s.left
	if left == nil {
		left = make([]float64, len(s.servers))
		s.left = left
	}
	clear(left)
	for i := range s.queue {
		if e := &s.queue[i]; e.kind == serviceEnd {
			of := &s.pool.requests[e.request]
			left[s.groups[of.group].server[of.peer]] += float64(e.at - s.now)
		}
	}
	best, least := none, math.Inf(1)
	for i := range g.peers {
		srv := &s.servers[g.server[i]]
		if !g.usable(i, sec) || srv.down {
			continue
		}
		if d := s.delayAt(srv, left[g.server[i]], r); best == none || d < least {
			best, least = i, d
		}
	}
	if best != none {
		return best
	}
	for i := range g.peers { // all are down or failed: the first that may be tried
		if g.usable(i, sec) {
			return i
		}
	}
	return none
}

// delayAt is when a request would be answered by a server with so much work left in service, from now, ns.
func (s *Sim) delayAt(srv *server, left float64, r *request) float64 {
	wait := 0.0
	switch {
	case srv.slots == 0: // it stands still
		return math.MaxFloat64 / 2
	case srv.busy >= srv.slots || srv.waiting > 0:
		for i := srv.head; i != none; i = s.pool.requests[i].next {
			if w := &s.pool.requests[i]; w.state != gone {
				left += float64(srv.serviceTime(w.class, w.normal))
			}
			if i == srv.tail {
				break
			}
		}
		wait = left / float64(srv.slots)
	}
	failing := 1 - (1-srv.hangs)*(1-srv.sheds)*(1-srv.fails)
	return wait + float64(srv.serviceTime(r.class, r.normal)) + float64(srv.delay[r.class]) + failing*troubleCost
}
