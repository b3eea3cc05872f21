package sim

// The way of one request: arrive → dispatch → (queue) → start → service end → response.

func (s *Sim) arrive(src *source) {
	i := s.pool.get()
	r := &s.pool.requests[i]
	r.due, r.normal, r.group, r.class = s.now, src.sizes.NormFloat64(), src.group, src.class
	src.advance()
	s.total++
	s.inFlight++
	s.dispatch(i)
}

// dispatch finds a server that takes the request, as proxy_next_upstream does: one that refuses the connection counts
// as failed and the next one is tried; when none is left the client gets 502.
func (s *Sim) dispatch(i int32) {
	r := &s.pool.requests[i]
	g := &s.groups[r.group]
	for tried := false; ; tried = true {
		p := g.pick(s.now)
		if p == none {
			if tried {
				clear(g.tried)
			}
			s.finish(i, 502)
			return
		}
		g.peers[p].conns++
		r.peer, r.began, r.epoch = int32(p), s.now, g.epoch
		srv := &s.servers[g.server[p]]
		if srv.down {
			g.done(p, r.epoch, true, s.now)
			g.tried[p] = true
			if !s.opts.PassedOnUncounted {
				s.count(r, s.now, 502)
			}
			continue
		}
		if tried {
			clear(g.tried)
		}
		s.enter(srv, i, r)
		return
	}
}

// enter hands the request to the server.
func (s *Sim) enter(srv *server, i int32, r *request) {
	switch {
	case srv.failing && srv.faults.Float64() < srv.failProb:
		s.respond(srv, i, 500, srv.failAfter)
	case srv.busy < srv.slots:
		s.begin(srv, i, r)
	case srv.waiting < srv.limit:
		srv.join(&s.pool, i)
	default:
		s.respond(srv, i, 503, 0)
	}
}

// respond sends an answer that needs no slot.
func (s *Sim) respond(srv *server, i int32, status uint16, after int64) {
	s.pool.requests[i].status = status
	s.queue.push(event{at: s.now + after + srv.delay, request: i, kind: response})
}

func (s *Sim) begin(srv *server, i int32, r *request) {
	srv.busy++
	srv.served++
	r.status = 200
	s.queue.push(event{at: s.now + srv.serviceTime(r.class, r.normal), request: i, kind: serviceEnd})
}

// start begins the service of a request that waited.
func (s *Sim) start(srv *server, i int32) {
	srv.waited++
	s.begin(srv, i, &s.pool.requests[i])
}

// join and leave are the two ends of the server's queue.
func (srv *server) join(p *pool, i int32) {
	p.requests[i].next = none
	if srv.waiting == 0 {
		srv.head = i
	} else {
		p.requests[srv.tail].next = i
	}
	srv.tail = i
	srv.waiting++
}

func (srv *server) leave(p *pool) int32 {
	i := srv.head
	srv.head = p.requests[i].next
	srv.waiting--
	return i
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
	switch {
	case srv.waiting > 0 && srv.busy < srv.slots:
		// The next service takes the place of the ended one in the queue: one sift instead of two.
		next := srv.leave(&s.pool)
		n := &s.pool.requests[next]
		srv.busy++
		srv.served++
		srv.waited++
		n.status = 200
		s.queue.replace(event{at: s.now + srv.serviceTime(n.class, n.normal), request: next, kind: serviceEnd})
		if srv.delay > 0 {
			s.queue.push(event{at: s.now + srv.delay, request: e.request, kind: response})
			return
		}
	case srv.delay > 0:
		s.queue.replace(event{at: s.now + srv.delay, request: e.request, kind: response})
		return
	default:
		s.queue.pop()
	}
	s.receive(e.request, r)
}

// receive is the arrival of the whole response at NGINX.
func (s *Sim) receive(i int32, r *request) {
	g := &s.groups[r.group]
	s.count(r, s.now, r.status)
	g.done(int(r.peer), r.epoch, false, s.now)
	s.finish(i, r.status)
}

// finish answers the client and frees the request.
func (s *Sim) finish(i int32, status uint16) {
	s.answer(&s.pool.requests[i], s.now, status)
	s.finished++
	s.inFlight--
	s.pool.put(i)
}
