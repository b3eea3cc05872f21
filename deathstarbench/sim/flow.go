package sim

import (
	"cmp"
	"slices"
)

// The way of one request: arrive → dispatch → (queue) → start → service end → response.

func (s *Sim) arrive(src *source) {
	// The draw is made for every request, so that what is refused at one share is refused at every larger one too.
	group := s.route(src)
	if g := &s.groups[group]; g.refuse.Float64() < g.blocked {
		src.sizes.NormFloat64()
		g.turnAway(s.now >= s.warmup)
		src.advance()
		s.total++
		return
	}
	i := s.pool.get()
	r := &s.pool.requests[i]
	r.due, r.normal, r.group, r.class = s.now, src.sizes.NormFloat64(), group, src.class
	src.advance()
	s.total++
	s.inFlight++
	s.fleet[s.groups[group].balancer].inFlight++
	r.older, r.newer = s.newest, none
	if s.newest == none {
		s.oldest = i
	} else {
		s.pool.requests[s.newest].newer = i
	}
	s.newest = i
	s.dispatch(i)
}

// dispatch finds a server that takes the request, as proxy_next_upstream does: one that refuses the connection counts
// as failed and the next one is tried; when none is left the client gets 502.
func (s *Sim) dispatch(i int32) {
	r := &s.pool.requests[i]
	g := &s.groups[r.group]
	p := s.pick(g, r)
	for p != none {
		g.peers[p].conns++
		r.peer, r.began, r.epoch = int32(p), g.picked, g.epoch
		srv := &s.servers[g.server[p]]
		if !srv.down {
			break
		}
		s.fail(r)
		next := s.pick(g, r)
		s.passOn(r, next != none)
		p = next
	}
	if g.passing {
		clear(g.tried)
		g.passing = false
	}
	if p == none {
		s.finish(i, 502)
		return
	}
	s.enter(&s.servers[g.server[p]], i, r)
}

// fail ends an attempt whose connection was refused or cut; the server is not tried again for this request.
func (s *Sim) fail(r *request) {
	g := &s.groups[r.group]
	if g.timed {
		g.measure(int(r.peer), r.epoch, r.began, s.now, failed)
	}
	g.done(int(r.peer), r.epoch, true, s.now)
	g.tried[r.peer] = true
	g.passing = true
	g.plain = false
	r.state = open
}

// passOn counts a failed attempt: there was another one after it, or it was the last.
func (s *Sim) passOn(r *request, another bool) {
	if !another || !s.opts.PassedOnUncounted {
		s.count(r, s.now, 502, another)
	}
}

// cut ends all connections of a server that goes down. What can be sent twice is passed on to another server;
// compose-post is a POST, which NGINX does not repeat, so its client gets 502.
func (s *Sim) cut(server int32) {
	srv := &s.servers[server]
	var lost []int32
	kept := s.queue[:0]
	for _, e := range s.queue {
		r := &s.pool.requests[e.request]
		if s.groups[r.group].server[r.peer] == server {
			if r.state == gone {
				s.pool.put(e.request)
			} else {
				lost = append(lost, e.request)
			}
		} else {
			kept = append(kept, e)
		}
	}
	s.queue = kept
	s.queue.order()
	for srv.waiting > 0 {
		lost = append(lost, s.leave(srv))
	}
	srv.busy = 0
	for i := s.oldest; i != none && s.hanging > 0; i = s.pool.requests[i].newer {
		if r := &s.pool.requests[i]; r.state == hanging && s.groups[r.group].server[r.peer] == server {
			s.hanging--
			lost = append(lost, i)
		}
	}
	slices.SortFunc(lost, func(a, b int32) int { return cmp.Compare(s.pool.requests[a].due, s.pool.requests[b].due) })
	for _, i := range lost {
		r := &s.pool.requests[i]
		g := &s.groups[r.group]
		s.fail(r)
		again := g.repeatable()
		s.passOn(r, again)
		if !again {
			clear(g.tried)
			g.passing = false
			s.finish(i, 502)
			continue
		}
		s.dispatch(i)
	}
}

// standStill puts off the ends of all services of a server.
func (s *Sim) standStill(server int32, by int64) {
	for i := range s.queue {
		e := &s.queue[i]
		if r := &s.pool.requests[e.request]; e.kind == serviceEnd && s.groups[r.group].server[r.peer] == server {
			e.at += by
		}
	}
	s.queue.order()
}

// enter hands the request to the server.
func (s *Sim) enter(srv *server, i int32, r *request) {
	if srv.troubled {
		switch srv.draw() {
		case hung:
			r.state = hanging
			s.hanging++
			return
		case shed:
			r.status, r.state = 429, away
			s.queue.push(event{at: s.now + srv.shedAfter + srv.delay[r.class], request: i, kind: response})
			return
		case broken:
			r.status, r.state = 500, away
			s.queue.push(event{at: s.now + srv.failAfter + srv.delay[r.class], request: i, kind: response})
			return
		}
	}
	switch {
	case srv.busy < srv.slots:
		s.begin(srv, i, r)
	case srv.waiting < srv.limit:
		r.state = queued
		srv.join(&s.pool, i)
	default: // the server answers at once
		r.status, r.state = 503, away
		s.queue.push(event{at: s.now, request: i, kind: response})
	}
}

func (s *Sim) begin(srv *server, i int32, r *request) {
	srv.busy++
	srv.served++
	r.status, r.state = 200, away
	s.queue.push(event{at: s.now + srv.serve(r.class, r.normal), request: i, kind: serviceEnd})
}

// start begins the service of a request that waited.
func (s *Sim) start(srv *server, i int32) {
	srv.waited++
	s.begin(srv, i, &s.pool.requests[i])
}

// join and leave are the two ends of the server's queue. Requests whose clients gave up stay in it until they come to
// its head, but do not count as waiting.
func (srv *server) join(p *pool, i int32) {
	p.requests[i].next = none
	if srv.head == none {
		srv.head = i
	} else {
		p.requests[srv.tail].next = i
	}
	srv.tail = i
	srv.waiting++
}

// leave takes the first request whose client still waits; there must be one.
func (s *Sim) leave(srv *server) int32 {
	for {
		i := srv.head
		r := &s.pool.requests[i]
		srv.head = r.next
		if r.state != gone {
			srv.waiting--
			return i
		}
		s.pool.put(i)
	}
}

// handle takes the first event off the queue and acts on it.
func (s *Sim) handle(e event) {
	r := &s.pool.requests[e.request]
	if e.kind == response {
		s.queue.pop()
		s.receive(e.request, r)
		return
	}
	srv := &s.servers[s.groups[r.group].server[r.peer]]
	srv.busy--
	delay := srv.delay[r.class]
	switch {
	case srv.waiting > 0 && srv.busy < srv.slots:
		// The next service takes the place of the ended one in the queue: one sift instead of two.
		next := s.leave(srv)
		n := &s.pool.requests[next]
		srv.busy++
		srv.served++
		srv.waited++
		n.status, n.state = 200, away
		s.queue.replace(event{at: s.now + srv.serve(n.class, n.normal), request: next, kind: serviceEnd})
		if delay > 0 {
			s.queue.push(event{at: s.now + delay, request: e.request, kind: response})
			return
		}
	case delay > 0:
		s.queue.replace(event{at: s.now + delay, request: e.request, kind: response})
		return
	default:
		s.queue.pop()
	}
	s.receive(e.request, r)
}

// receive is the arrival of the whole response at NGINX.
func (s *Sim) receive(i int32, r *request) {
	if r.state == gone {
		s.pool.put(i)
		return
	}
	g := &s.groups[r.group]
	s.count(r, s.now, r.status, false)
	if g.timed {
		g.measure(int(r.peer), r.epoch, r.began, s.now, answered)
		g.probed(r, s.now)
	}
	g.done(int(r.peer), r.epoch, false, s.now)
	s.finish(i, r.status)
}
