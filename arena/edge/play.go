package edge

import (
	"container/heap"
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

// Play plays a policy over the requests of a seed in simulated time. A place that does not exist is an error.
func (w *World) Play(p Policy, seed uint64) (Score, error) {
	var score Score
	var pending answers
	stations := make([]station, len(w.Servers))
	for i, s := range w.Servers {
		stations[i] = make(station, s.Slots)
	}
	inside := make([]int, len(w.Servers))
	settle := func(until float64) {
		for len(pending) > 0 && pending[0].at <= until {
			a := heap.Pop(&pending).(answer)
			inside[a.o.Place.Server]--
			score.add(w, &a.o)
			p.Done(&a.o)
		}
	}
	deciding := time.Duration(0)
	requests := w.Requests(seed)
	for i := range requests {
		r := &requests[i]
		settle(r.At)
		score.Requests++
		began := time.Now()
		place := p.Place(r, inside)
		deciding += time.Since(began)
		if place.Deny {
			score.Denied++
			continue
		}
		if err := w.exists(place); err != nil {
			return score, err
		}
		// The way there is half of the delay: the request enters the queue then. Requests of other regions may overtake
		// it on the way, which serving in the order of placing leaves out.
		delay := w.delay(r, place.Server)
		service := w.Servers[place.Server].Models[place.Model].service(r)
		begins := stations[place.Server].enter(r.At+delay/2, service)
		total := begins + service + delay/2 - r.At
		inside[place.Server]++
		heap.Push(&pending, answer{r.At + total, Outcome{Request: *r, Place: place, TotalSec: total,
			ServiceSec: service}})
	}
	settle(math.Inf(1))
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
