package edge

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"time"
)

// answer is an outcome that has not come yet.
type answer struct {
	at float64
	o  Outcome
}

// answers is a heap by time.
type answers []answer

func (a answers) Len() int           { return len(a) }
func (a answers) Less(i, j int) bool { return a[i].at < a[j].at }
func (a answers) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *answers) Push(x any)        { *a = append(*a, x.(answer)) }
func (a *answers) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

// station is a server: when each of its slots is free again.
type station []float64

// enter returns when a request that comes at a time begins to be served, first come, first served, and takes the slot
// until it is done.
func (s station) enter(at, service float64) (begins float64) {
	first := 0
	for i, free := range s {
		if free < s[first] {
			first = i
		}
	}
	begins = math.Max(at, s[first])
	s[first] = begins + service
	return begins
}

// Episode is a run of the world, request by request.
type Episode struct {
	w        *World
	requests []Request
	next     int
	pending  answers
	stations []station
	inside   []int
	answered func(*Outcome) // told of every answer, in the order of answers; nil: nobody
}

// Begin begins a run; the same seed, the same requests.
func (w *World) Begin(seed uint64) *Episode {
	e := &Episode{w: w, requests: w.Requests(seed), stations: make([]station, len(w.Servers)),
		inside: make([]int, len(w.Servers))}
	for i, s := range w.Servers {
		e.stations[i] = make(station, s.Slots)
	}
	return e
}

// Next is the request that is to be placed, nil when the run is over. What was answered before it came is not inside
// any more.
func (e *Episode) Next() *Request {
	if e.next == len(e.requests) {
		e.settle(math.Inf(1))
		return nil
	}
	r := &e.requests[e.next]
	e.settle(r.At)
	return r
}

// Inside are the requests that were placed with each server and not answered yet. It changes with every call.
func (e *Episode) Inside() []int { return e.inside }

func (e *Episode) settle(until float64) {
	for len(e.pending) > 0 && e.pending[0].at <= until {
		a := heap.Pop(&e.pending).(answer)
		e.inside[a.o.Place.Server]--
		if e.answered != nil {
			e.answered(&a.o)
		}
	}
}

// Place places the request of Next and returns what will become of it and what that is worth; one that is denied is
// worth 0.
func (e *Episode) Place(p Place) (o Outcome, value float64, err error) {
	if e.next == len(e.requests) {
		return o, 0, errors.New("the run is over")
	}
	r := &e.requests[e.next]
	if p.Deny {
		e.next++
		return Outcome{Request: *r, Place: p}, 0, nil
	}
	if err := e.w.exists(p); err != nil {
		return o, 0, err
	}
	e.next++
	// The way there is half of the delay: the request enters the queue then. Requests of other regions may overtake it
	// on the way, which serving in the order of placing leaves out.
	delay := e.w.delay(r, p.Server)
	service := e.w.Servers[p.Server].Models[p.Model].service(r)
	begins := e.stations[p.Server].enter(r.At+delay/2, service)
	o = Outcome{Request: *r, Place: p, TotalSec: begins + service + delay/2 - r.At, ServiceSec: service}
	e.inside[p.Server]++
	heap.Push(&e.pending, answer{r.At + o.TotalSec, o})
	return o, worth(e.w.judge(&o)), nil
}

// Play plays a policy over the requests of a seed in simulated time. A place that does not exist is an error.
func (w *World) Play(p Policy, seed uint64) (Score, error) {
	var score Score
	e := w.Begin(seed)
	e.answered = func(o *Outcome) {
		score.add(w, o)
		p.Done(o)
	}
	deciding := time.Duration(0)
	for r := e.Next(); r != nil; r = e.Next() {
		score.Requests++
		began := time.Now()
		place := p.Place(r, e.Inside())
		deciding += time.Since(began)
		if place.Deny {
			score.Denied++
		}
		if _, _, err := e.Place(place); err != nil {
			return score, err
		}
	}
	score.finish()
	if score.Requests > 0 {
		score.PlaceUS = float64(deciding.Nanoseconds()) / 1e3 / float64(score.Requests)
	}
	return score, nil
}

func (w *World) exists(p Place) error {
	if p.Server < 0 || p.Server >= len(w.Servers) || p.Model < 0 || p.Model >= len(w.Servers[p.Server].Models) {
		return fmt.Errorf("place %+v: no such server or model", p)
	}
	return nil
}
