package edge

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"trimtab/arena/emulated"
)

// Backends are the servers of a world as real HTTP servers on loopback: POST /MODEL answers after a slot was free and
// the model's time is over.
type Backends struct{ *emulated.Servers }

// StartBackends starts them; a second of the world takes so many seconds here (scale, such as 0.02).
func StartBackends(w *World, scale float64) (*Backends, error) {
	var handlers []http.Handler
	for i := range w.Servers {
		handlers = append(handlers, backend(&w.Servers[i], scale))
	}
	s, err := emulated.Start(handlers...)
	return &Backends{s}, err
}

// backend is the handler of one server.
func backend(s *Server, scale float64) http.Handler {
	slots := emulated.NewGate(s.Slots)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		for j := range s.Models {
			if m := &s.Models[j]; m.Name == name {
				emulated.Serve(rw, r, slots, scale, func(normal float64) float64 {
					return m.service(&Request{normal: normal})
				})
				return
			}
		}
		http.Error(rw, "no such model", http.StatusBadRequest)
	})
}

// bytesPerMB is how much is sent for a MB of the world: what counts is the emulated delay, not the load of loopback.
const bytesPerMB = 1 << 10

// mostWait is how long an answer is waited for, of real time.
const mostWait = time.Minute

// Emulate plays a policy over the requests of a seed against backends, in real time but for the scale. The delays of
// the network are kept by the client, half before and half after; they are 0 when the world's network is off.
func (w *World) Emulate(ctx context.Context, p Policy, seed uint64, b *Backends, scale float64) (Score, error) {
	var score Score
	client := emulated.Client()
	defer client.CloseIdleConnections()
	inside := make([]int, len(w.Servers))
	requests := w.Requests(seed)
	done := make(chan Outcome, len(requests))
	began := time.Now()
	var flying sync.WaitGroup
	defer flying.Wait()
	take := func(o Outcome) {
		inside[o.Place.Server]--
		score.add(w, &o)
		p.Done(&o)
	}
	left := 0
	for i := range requests {
		r := &requests[i]
		due := time.NewTimer(time.Until(began.Add(time.Duration(r.At * scale * float64(time.Second)))))
		for waiting := true; waiting; {
			select {
			case o := <-done:
				left--
				take(o)
			case <-due.C:
				waiting = false
			case <-ctx.Done():
				due.Stop()
				return score, ctx.Err()
			}
		}
		score.Requests++
		place := p.Place(r, inside)
		if place.Deny {
			score.Denied++
			continue
		}
		if err := w.exists(place); err != nil {
			return score, err
		}
		inside[place.Server]++
		left++
		flying.Go(func() { done <- w.send(ctx, client, b.URL(place.Server), r, place, scale) })
	}
	for ; left > 0; left-- {
		select {
		case o := <-done:
			take(o)
		case <-ctx.Done():
			return score, ctx.Err()
		}
	}
	score.finish()
	return score, nil
}

// send sends one request and waits for its answer.
func (w *World) send(ctx context.Context, client *http.Client, url string, r *Request, p Place, scale float64) Outcome {
	o := Outcome{Request: *r, Place: p, Failed: true}
	began := time.Now()
	half := time.Duration(w.delay(r, p.Server) / 2 * scale * float64(time.Second))
	if !emulated.Pause(ctx, half) {
		return o
	}
	limited, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	service, err := emulated.Ask(limited, client, url+"/"+w.Servers[p.Server].Models[p.Model].Name, r.normal,
		int(r.MB*bytesPerMB))
	if err != nil || !emulated.Pause(ctx, half) {
		return o
	}
	o.Failed, o.ServiceSec, o.TotalSec = false, service, time.Since(began).Seconds()/scale
	return o
}
