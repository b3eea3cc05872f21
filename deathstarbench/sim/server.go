package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// server is one backend: slots, and a queue that all upstream groups share.
type server struct {
	name       string
	slots      int32
	busy       int32
	waiting    int32
	limit      int32
	head, tail int32     // of the queue, linked through the pool
	mean       []float64 // service time in ns by class, as it is now
	healthy    []float64 // the same without faults
	sigma      float64   // of the logarithm; 0: constant service times
	shift      float64   // −σ²/2, so that the mean stays
	delay      []int64   // ns, of a response on its way, by class
	nearby     []int64   // the same without faults
	baseSlots  int32
	capacity   int32 // slots when it does not stand still
	paused     bool
	down       bool
	troubled   bool    // one of the three below is on
	hangs      float64 // probability
	sheds      float64
	shedAfter  int64 // ns
	fails      float64
	failAfter  int64 // ns
	faults     *rand.Rand

	exponential bool

	served, waited uint64
	// of the interval before, for what the machine says
	servedBefore, waitedBefore uint64
	used                       int64 // ns of services that began in this interval
}

func newServer(c deathstarbench.Server, classes []string, seed uint64) (server, error) {
	s := server{
		name: c.Name, slots: int32(c.Slots), baseSlots: int32(c.Slots), capacity: int32(c.Slots),
		limit: int32(c.QueueLimit),
		head:  none, tail: none,
		faults: rand.New(rand.NewPCG(seed, 0xfa17)),
	}
	if c.Slots < 1 {
		return s, fmt.Errorf("server %s: %d slots: want at least 1", c.Name, c.Slots)
	}
	if c.ServiceCV < 0 || math.IsNaN(c.ServiceCV) || math.IsInf(c.ServiceCV, 0) {
		return s, fmt.Errorf("server %s: service_cv %v: want at least 0", c.Name, c.ServiceCV)
	}
	if s.limit <= 0 {
		s.limit = math.MaxInt32
	}
	if c.ServiceCV > 0 {
		v := math.Log1p(c.ServiceCV * c.ServiceCV)
		s.sigma, s.shift = math.Sqrt(v), -v/2
	}
	for _, class := range classes {
		s.healthy = append(s.healthy, float64(c.Service[class]))
		s.nearby = append(s.nearby, int64(c.Delay(class)))
	}
	s.mean, s.delay = slices.Clone(s.healthy), slices.Clone(s.nearby)
	return s, nil
}

// serviceTime returns the service time of a request in ns.
func (s *server) serviceTime(class uint16, normal float64) int64 {
	if s.exponential {
		return int64(s.mean[class] * -math.Log(0.5*math.Erfc(normal/math.Sqrt2)))
	}
	if s.sigma == 0 {
		return int64(s.mean[class])
	}
	return int64(s.mean[class] * math.Exp(s.sigma*normal+s.shift))
}

// serve is the service time of a request that begins to be served.
func (s *server) serve(class uint16, normal float64) int64 {
	t := s.serviceTime(class, normal)
	s.used += t
	return t
}

// change is one beginning or end of a fault.
type change struct {
	at     int64
	until  int64 // when it ends, of one that begins; 0: never
	server int32
	on     bool
	fault  *deathstarbench.Fault
}

// turn begins or ends a fault.
func (s *server) turn(f *deathstarbench.Fault, on bool) error {
	switch f.Kind {
	case deathstarbench.Slowdown:
		for i, m := range s.healthy {
			s.mean[i] = m
			if on {
				s.mean[i] *= f.Factor
			}
		}
	case deathstarbench.Capacity:
		s.capacity = s.baseSlots
		if on {
			s.capacity = int32(f.Slots)
		}
	case deathstarbench.Pause:
		s.paused = on
	case deathstarbench.Error:
		s.fails, s.failAfter = share(on, f), int64(f.Latency)
	case deathstarbench.Hang:
		s.hangs = share(on, f)
	case deathstarbench.Shed:
		s.sheds, s.shedAfter = share(on, f), int64(f.Latency)
	case deathstarbench.Down:
		s.down = on
	case deathstarbench.NetworkDelay:
		for i, d := range s.nearby {
			s.delay[i] = d
			if on {
				s.delay[i] += int64(f.Delay)
			}
		}
	default:
		return fmt.Errorf("fault on server %s: unknown kind %q", s.name, f.Kind)
	}
	s.slots = s.capacity
	if s.paused {
		s.slots = 0
	}
	s.troubled = s.fails > 0 || s.hangs > 0 || s.sheds > 0
	return nil
}

// share is the share of the requests that a fault hits while it is on.
func share(on bool, f *deathstarbench.Fault) float64 {
	if !on {
		return 0
	}
	return f.Probability
}

// trouble is what the faults that are drawn for each request do to it.
type trouble uint8

const (
	noTrouble trouble = iota
	hung
	shed
	broken
)

// draw draws the faults of one request, each by itself.
func (s *server) draw() trouble {
	switch {
	case s.hangs > 0 && s.faults.Float64() < s.hangs:
		return hung
	case s.sheds > 0 && s.faults.Float64() < s.sheds:
		return shed
	case s.fails > 0 && s.faults.Float64() < s.fails:
		return broken
	}
	return noTrouble
}

// ServerTotals are what a server did over a whole run.
type ServerTotals struct {
	Name   string
	Served uint64 // requests that got a slot
	Waited uint64 // of these, those that had to wait for it
}

// Servers returns the totals of every server.
func (s *Sim) Servers() []ServerTotals {
	out := make([]ServerTotals, len(s.servers))
	for i := range s.servers {
		out[i] = ServerTotals{Name: s.servers[i].name, Served: s.servers[i].served, Waited: s.servers[i].waited}
	}
	return out
}

func seconds(ns int64) int64 { return ns / int64(time.Second) }
