package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"trimtab/deathstarbench"
	"trimtab/vts"
)

// Sim is one run of a scenario. It is not safe for concurrent use; different runs are independent.
type Sim struct {
	opts    Options
	end     int64 // ns; the last arrival is due before it
	warmup  int64
	now     int64
	groups  []group
	fleet   []frontend // each with all groups, one balancer's after the other's
	servers []server
	sources []source
	queue   eventQueue
	pool    pool
	buckets *bucketIndex
	changes []change
	pending []pending
	oldest  int32 // of the requests whose clients wait, linked by age
	newest  int32
	polls   *rand.Rand
	left    []float64 // scratch of jsed

	inFlight uint64
	hanging  int    // of them, those with a server that will never answer
	total    uint64 // requests begun
}

// pending are weights on their way.
type pending struct {
	at       int64
	balancer int // none: all
	settings map[string]map[string]Setting
}

// New prepares a run of the scenario. It fails when the scenario cannot be played: an unknown name, a wrong value, a
// group without servers or load without a group.
func New(sc *deathstarbench.Scenario, o Options) (*Sim, error) {
	if err := o.complete(sc); err != nil {
		return nil, fmt.Errorf("simulate %s: %w", sc.Name, err)
	}
	s := &Sim{opts: o, end: int64(sc.Duration), warmup: int64(sc.Warmup), pool: newPool(), oldest: none, newest: none,
		buckets: newBucketIndex(o.BucketsMsec),
		polls:   rand.New(rand.NewPCG(mix(o.Seed, 1<<20), 0x9011))}
	if err := s.build(sc); err != nil {
		return nil, fmt.Errorf("simulate %s: %w", sc.Name, err)
	}
	return s, nil
}

func (s *Sim) build(sc *deathstarbench.Scenario) error {
	var classes []string
	for _, u := range sc.Upstreams {
		if !slices.Contains(classes, u.Workload) {
			classes = append(classes, u.Workload)
		}
	}
	servers := map[string]int32{}
	for i, c := range sc.Servers {
		srv, err := newServer(c, classes, mix(s.opts.Seed, uint64(1<<21+i)))
		if err != nil {
			return err
		}
		if _, twice := servers[c.Name]; twice {
			return fmt.Errorf("server %s: defined twice", c.Name)
		}
		srv.exponential = s.opts.ExponentialService
		servers[c.Name] = int32(i)
		s.servers = append(s.servers, srv)
	}
	of := map[string]int32{} // workload → group
	for i, u := range sc.Upstreams {
		g, err := newGroup(u, sc.Own(u.Workload), servers, &s.opts, mix(s.opts.Seed, uint64(1<<22+i)))
		if err != nil {
			return err
		}
		g.class = uint16(slices.Index(classes, u.Workload))
		for _, n := range g.server {
			if s.servers[n].healthy[g.class] <= 0 {
				return fmt.Errorf("upstream %s: server %s has no service time for %s", u.Name, s.servers[n].name,
					u.Workload)
			}
		}
		if _, twice := of[u.Workload]; !twice {
			of[u.Workload] = int32(i)
		}
		s.groups = append(s.groups, g)
	}
	if err := s.multiply(sc, servers, classes); err != nil {
		return err
	}
	for i, l := range sc.Loads {
		g, ok := of[l.Workload]
		if !ok {
			return fmt.Errorf("load %s: no upstream serves it", l.Workload)
		}
		src, err := newSource(l, i, s.opts.Seed)
		if err != nil {
			return err
		}
		src.routes = rand.New(rand.NewPCG(mix(s.opts.Seed, uint64(1<<23+i)), 0xf1ee7))
		src.group, src.class = g, s.groups[g].class
		s.sources = append(s.sources, src)
	}
	if err := s.schedule(sc.Faults, servers); err != nil {
		return err
	}
	return s.hold(s.opts.Held)
}

func (s *Sim) schedule(faults []deathstarbench.Fault, servers map[string]int32) error {
	for i := range faults {
		f := &faults[i]
		n, ok := servers[f.Server]
		if !ok {
			return fmt.Errorf("fault: unknown server %q", f.Server)
		}
		probe := s.servers[n]
		probe.mean, probe.delay = slices.Clone(probe.mean), slices.Clone(probe.delay)
		if err := probe.turn(f, true); err != nil {
			return err
		}
		if f.Kind == deathstarbench.Hang && s.opts.Timeout < 0 {
			return fmt.Errorf("fault on server %s: %s wants clients that give up", f.Server, f.Kind)
		}
		until := int64(f.Until)
		if until == 0 && f.Kind == deathstarbench.Pause { // what stands still has to go on in order to end
			until = s.end
		}
		s.changes = append(s.changes, change{at: int64(f.At), until: until, server: n, on: true, fault: f})
		if until > 0 {
			s.changes = append(s.changes, change{at: until, server: n, fault: f})
		}
	}
	slices.SortStableFunc(s.changes, func(a, b change) int {
		if a.at != b.at {
			return int(min(1, max(-1, a.at-b.at)))
		}
		if a.on == b.on {
			return 0
		}
		if b.on { // one that ends makes room for one that begins
			return -1
		}
		return 1
	})
	return nil
}

// Now is the simulated time since the start.
func (s *Sim) Now() time.Duration { return time.Duration(s.now) }

// Interval length, as Step plays it.
func (s *Sim) ControlInterval() time.Duration { return s.opts.Interval }

// Done reports whether the scenario's duration is over.
func (s *Sim) Done() bool { return s.now >= s.end }

// Requests is the number of requests begun since the start.
func (s *Sim) Requests() uint64 { return s.total }

// Step plays one control interval (less when the scenario ends) and returns what the poller would report at its end;
// with a telemetry delay the sample is that much older. The error is ErrPollLost or nil.
//
// Of several balancers it is the sample of the first; StepAll returns all.
func (s *Sim) Step() (vts.Sample, error) {
	end := s.beginStep()
	lost := s.opts.LostPolls > 0 && s.polls.Float64() < s.opts.LostPolls
	s.runTo(max(s.now, end-int64(s.opts.TelemetryDelay)))
	var sample vts.Sample
	if !lost {
		sample = s.sample(0)
	}
	s.runTo(end)
	if lost {
		return vts.Sample{}, ErrPollLost
	}
	return sample, nil
}

// Finish plays on without new arrivals until every request is answered, and returns the totals.
func (s *Sim) Finish() []*Client {
	for i := range s.sources {
		s.sources[i].due = never
	}
	for s.inFlight > 0 {
		next := s.giveUp()
		if len(s.queue) > 0 {
			next = min(next, s.queue[0].at)
		} else if len(s.changes) > 0 {
			next = min(next, s.changes[0].at)
		}
		if next == never { // cannot be: some server holds the request
			panic("sim: requests in flight, and nothing to come")
		}
		s.runTo(next + 1)
	}
	return s.Totals()
}

// runTo plays up to the time t; events at t itself are left to the next call.
func (s *Sim) runTo(t int64) {
	for {
		stop := t
		if len(s.changes) > 0 {
			stop = min(stop, s.changes[0].at)
		}
		if len(s.pending) > 0 {
			stop = min(stop, s.pending[0].at)
		}
		s.play(max(stop, s.now))
		s.now = max(stop, s.now)
		again := false
		for len(s.changes) > 0 && s.changes[0].at <= s.now {
			s.change(s.changes[0])
			s.changes = s.changes[1:]
			again = true
		}
		for len(s.pending) > 0 && s.pending[0].at <= s.now {
			s.apply(s.pending[0].balancer, s.pending[0].settings)
			s.pending = s.pending[1:]
			again = true
		}
		if s.now >= t && !again {
			return
		}
	}
}

// play handles all arrivals and events before the time t.
func (s *Sim) play(t int64) {
	for {
		due, from := int64(never), 0
		for i := range s.sources {
			if d := s.sources[i].due; d < due {
				due, from = d, i
			}
		}
		for len(s.queue) > 0 && s.queue[0].at <= due {
			e := s.queue[0]
			if s.giveUp() <= e.at {
				break
			}
			if e.at >= t {
				return
			}
			s.now = e.at
			s.handle(e)
		}
		if at := s.giveUp(); at <= due && at < never {
			if at >= t {
				return
			}
			s.now = at
			s.abandon(s.oldest)
			continue
		}
		if due >= t || due >= s.end {
			if due >= s.end && due < t { // beyond the end nothing arrives any more
				for i := range s.sources {
					s.sources[i].due = never
				}
				continue
			}
			return
		}
		s.now = due
		s.arrive(&s.sources[from])
	}
}

func (s *Sim) change(c change) {
	srv := &s.servers[c.server]
	_ = srv.turn(c.fault, c.on) // checked by schedule
	if srv.down && c.on {
		s.cut(c.server)
	}
	if c.fault.Kind == deathstarbench.Pause && c.on {
		s.standStill(c.server, c.until-s.now)
	}
	for srv.waiting > 0 && srv.busy < srv.slots {
		s.start(srv, s.leave(srv))
	}
}
