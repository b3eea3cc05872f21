package socialnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// outcome says how a request left a station.
type outcome uint8

const (
	served   outcome = iota + 1
	refused          // queue full
	failed           // by an injected error
	shed             // by an injected refusal
	lost             // the server went down
	canceled         // the client went away
)

// draw is a lognormal service time.
type draw struct{ mu, sigma float64 }

func newDraw(mean time.Duration, cv float64) draw {
	variance := math.Log1p(cv * cv)
	return draw{mu: math.Log(float64(mean)) - variance/2, sigma: math.Sqrt(variance)}
}

func (d draw) next(rng *rand.Rand) time.Duration {
	if d.sigma == 0 {
		return time.Duration(math.Exp(d.mu))
	}
	return time.Duration(math.Exp(d.mu + d.sigma*rng.NormFloat64()))
}

// conditions are what the active faults make of a server.
type conditions struct {
	factor float64       // of service times
	slots  int           // 0: those of the server
	delay  time.Duration // of the network, added to the server's own
	paused bool          // services in progress stand still, none begin
	drawn  []injected    // in the order in which they are drawn
}

// injected is what becomes of a request with a probability, drawn for each on arrival.
type injected struct {
	probability float64
	result      outcome // failed or shed, after the latency; lost: it is never answered
	latency     time.Duration
}

// station is the capacity model of one server. Instants are offsets from its base on the monotonic clock.
type station struct {
	base  time.Time
	clock func() time.Duration // offset from base
	wake  alarm
	slots int
	limit int // of waiting requests

	mu      sync.Mutex
	rng     *rand.Rand
	now     conditions
	busy    int
	waiting int // in queue and not canceled
	queue   fifo
	events  events
	halted  []event              // ends of services of a paused server, at being how long they still take
	hanging map[*ticket]struct{} // what is never answered
	closed  bool
	count   counters
}

// counters count since the start.
type counters struct {
	Served, Refused, Failed, Shed, Lost, Canceled uint64
	Hung                                          uint64        // taken and never answered
	Begun                                         uint64        // services
	Busy                                          time.Duration // slot-time of begun services
}

func newStation(slots, limit int, seed1, seed2 uint64) (*station, error) {
	wake, err := newAlarm()
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	base := time.Now()
	return &station{
		base: base, clock: func() time.Duration { return time.Since(base) }, wake: wake, slots: slots, limit: limit,
		rng: rand.New(rand.NewPCG(seed1, seed2)),
		now: conditions{factor: 1}, hanging: map[*ticket]struct{}{},
	}, nil
}

// run delivers completions until close.
func (s *station) run() {
	for s.wake.wait() == nil {
		s.mu.Lock()
		s.advance(s.clock())
		s.arm()
		s.mu.Unlock()
	}
}

func (s *station) close() {
	s.reset()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake.close()
}

// enter takes a request in and returns its ticket; what becomes of it is sent to the ticket's done channel.
func (s *station) enter(service draw, delay time.Duration) *ticket {
	t := &ticket{service: service, delay: delay, done: make(chan outcome, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	s.advance(now)
	defer s.arm()
	if s.closed {
		s.leave(t, lost)
		return t
	}
	for _, e := range s.now.drawn {
		if s.rng.Float64() >= e.probability {
			continue
		}
		if e.result == lost {
			t.state = hung
			s.hanging[t] = struct{}{}
			s.count.Hung++
			return t
		}
		t.result, t.state = e.result, leaving
		s.events.push(event{at: now + e.latency + t.delay + s.now.delay, ticket: t})
		return t
	}
	t.arrived = now
	switch {
	case s.busy < s.capacity():
		t.accepted = true
		s.begin(t, now)
	case s.waiting < s.limit:
		t.accepted = true
		t.state = queued
		s.waiting++
		if s.queue.n > 2*s.limit { // most of it canceled
			s.queue.compact()
		}
		s.queue.push(t)
	default:
		s.leave(t, refused)
	}
	return t
}

// cancel takes a request whose client went away out of the queue, and forgets one that hangs. One in service holds its
// slot to the end: a server finds out only when it writes.
func (s *station) cancel(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t.state {
	case queued:
		s.waiting--
	case hung:
		delete(s.hanging, t)
	default:
		return
	}
	s.leave(t, canceled)
}

// set changes the conditions. Services that have begun keep their length, and their slots when there are fewer now;
// those of a server that pauses take as much longer as the pause lasts.
func (s *station) set(c conditions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	s.advance(now)
	paused := s.now.paused
	s.now = c
	switch {
	case c.paused && !paused:
		s.halt(now)
	case paused && !c.paused:
		s.resume(now)
	}
	s.admit(now)
	s.arm()
}

// resize changes the slots that the server has without faults.
func (s *station) resize(slots int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	s.advance(now)
	s.slots = slots
	s.admit(now)
	s.arm()
}

// halt takes the ends of all services off the events.
func (s *station) halt(now time.Duration) {
	all := s.events.list
	s.events.list = nil
	for _, e := range all {
		if e.ticket.state == inService {
			s.halted = append(s.halted, event{at: e.at - now, ticket: e.ticket})
		} else {
			s.events.push(e)
		}
	}
}

// resume lets services that were halted go on.
func (s *station) resume(now time.Duration) {
	for _, e := range s.halted {
		s.events.push(event{at: now + e.at, ticket: e.ticket})
	}
	s.halted = nil
}

// reset loses all that is in service, in queue, on its way or hanging: the server went down.
func (s *station) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.clock())
	for _, e := range s.events.list {
		s.leave(e.ticket, lost)
	}
	for _, e := range s.halted {
		s.leave(e.ticket, lost)
	}
	for t := range s.hanging {
		s.leave(t, lost)
	}
	s.halted = nil
	clear(s.hanging)
	for t := s.queue.pop(); t != nil; t = s.queue.pop() {
		if t.state == queued {
			s.leave(t, lost)
		}
	}
	s.events.list = s.events.list[:0]
	s.busy, s.waiting = 0, 0
}

func (s *station) capacity() int {
	if s.now.paused {
		return 0
	}
	if s.now.slots > 0 {
		return s.now.slots
	}
	return s.slots
}

// begin puts a request into service at the instant at, which may be past.
func (s *station) begin(t *ticket, at time.Duration) {
	length := time.Duration(float64(t.service.next(s.rng)) * s.now.factor)
	s.busy++
	s.count.Begun++
	s.count.Busy += length
	t.state, t.result = inService, served
	s.events.push(event{at: at + length, ticket: t})
}

// admit begins what the free slots allow, at the instant at or on arrival, whichever is later.
func (s *station) admit(at time.Duration) {
	for s.busy < s.capacity() {
		t := s.queue.pop()
		if t == nil {
			return
		}
		if t.state != queued {
			continue // canceled
		}
		s.waiting--
		s.begin(t, max(at, t.arrived))
	}
}

// advance does all that was due by now, in order.
func (s *station) advance(now time.Duration) {
	for len(s.events.list) > 0 && s.events.list[0].at <= now {
		e := s.events.pop()
		if e.ticket.state == inService {
			s.busy--
			s.admit(e.at)
			if delay := e.ticket.delay + s.now.delay; delay > 0 {
				e.ticket.state = leaving
				s.events.push(event{at: e.at + delay, ticket: e.ticket})
				continue
			}
		}
		e.ticket.due = e.at
		s.leave(e.ticket, e.ticket.result)
	}
}

func (s *station) leave(t *ticket, o outcome) {
	switch o {
	case served:
		s.count.Served++
	case refused:
		s.count.Refused++
	case failed:
		s.count.Failed++
	case shed:
		s.count.Shed++
	case lost:
		s.count.Lost++
	case canceled:
		s.count.Canceled++
	}
	t.state = gone
	t.done <- o
}

// arm sets the alarm to the next event.
func (s *station) arm() {
	if len(s.events.list) > 0 && !s.closed {
		s.wake.set(s.base, s.events.list[0].at)
	}
}
