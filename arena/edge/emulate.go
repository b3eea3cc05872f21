package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Backends are the servers of a world as real HTTP servers on loopback: POST /MODEL answers after a slot was free and
// the model's time is over. X-Normal is the deviate of the service time, so that the same requests take as long as in
// simulated time; X-Service of the answer is the time in service in s of the world.
type Backends struct {
	addresses []string
	servers   []*http.Server
	done      sync.WaitGroup
}

// StartBackends starts them; a second of the world takes so many seconds here (scale, such as 0.02).
func StartBackends(w *World, scale float64) (*Backends, error) {
	b := &Backends{}
	for i := range w.Servers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start backend %s: %w", w.Servers[i].Name, err), b.Close())
		}
		srv := &http.Server{Handler: backend(&w.Servers[i], scale), ReadHeaderTimeout: 10 * time.Second}
		b.addresses, b.servers = append(b.addresses, l.Addr().String()), append(b.servers, srv)
		b.done.Go(func() { _ = srv.Serve(l) }) // ends by Close
	}
	return b, nil
}

// Close stops the servers.
func (b *Backends) Close() error {
	var errs []error
	for _, s := range b.servers {
		errs = append(errs, s.Close())
	}
	b.done.Wait()
	return errors.Join(errs...)
}

// backend is the handler of one server.
func backend(s *Server, scale float64) http.Handler {
	slots := make(chan struct{}, s.Slots)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		var m *Model
		for j := range s.Models {
			if s.Models[j].Name == name {
				m = &s.Models[j]
			}
		}
		normal, err := strconv.ParseFloat(r.Header.Get("X-Normal"), 64)
		if m == nil || err != nil {
			http.Error(rw, "no such model, or no X-Normal", http.StatusBadRequest)
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		service := m.service(&Request{normal: normal})
		timer := time.NewTimer(time.Duration(service * scale * float64(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		<-slots
		rw.Header().Set("X-Service", strconv.FormatFloat(service, 'g', -1, 64))
		rw.WriteHeader(http.StatusOK)
	})
}

// bytesPerMB is how much is sent for a MB of the world: what counts is the emulated delay, not the load of loopback.
const bytesPerMB = 1 << 10

// Emulate plays a policy over the requests of a seed against backends, in real time but for the scale. The delays of
// the network are kept by the client, half before and half after; they are 0 when the world's network is off.
func (w *World) Emulate(ctx context.Context, p Policy, seed uint64, b *Backends, scale float64) (Score, error) {
	var score Score
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, Proxy: nil}, Timeout: time.Minute}
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
		flying.Go(func() { done <- w.send(ctx, client, b.addresses[place.Server], r, place, scale) })
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
func (w *World) send(ctx context.Context, client *http.Client, address string, r *Request, p Place,
	scale float64) Outcome {
	o := Outcome{Request: *r, Place: p, Failed: true}
	began := time.Now()
	half := time.Duration(w.delay(r, p.Server) / 2 * scale * float64(time.Second))
	if !pause(ctx, half) {
		return o
	}
	body := strings.NewReader(strings.Repeat("x", int(r.MB*bytesPerMB)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+address+"/"+w.Servers[p.Server].Models[p.Model].Name, body)
	if err != nil {
		return o
	}
	req.Header.Set("X-Normal", strconv.FormatFloat(r.normal, 'g', -1, 64))
	resp, err := client.Do(req)
	if err != nil {
		return o
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	service, bad := strconv.ParseFloat(resp.Header.Get("X-Service"), 64)
	if err != nil || bad != nil || resp.StatusCode != http.StatusOK || !pause(ctx, half) {
		return o
	}
	o.Failed, o.ServiceSec, o.TotalSec = false, service, time.Since(began).Seconds()/scale
	return o
}

// pause waits, and reports whether it was not cancelled.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
