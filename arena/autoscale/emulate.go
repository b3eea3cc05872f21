package autoscale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Backends are the services of a world as real HTTP servers on loopback: a POST is answered when a replica was free and
// its time is over. X-Normal is the deviate of the service time, so that the same requests take as long as in simulated
// time.
type Backends struct {
	w        *World
	scale    float64
	services []*replicas
	servers  []*http.Server
	address  []string
	done     sync.WaitGroup
}

// replicas are those of one service: so many requests at once, the others wait, first come, first served.
type replicas struct {
	mu      sync.Mutex
	size    Size
	busy    int
	waiting []chan struct{}
	used    float64 // replica-seconds of the interval, of the world
}

// resize changes the size and lets in who may now be served.
func (r *replicas) resize(size Size) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = size
	r.admit()
}

func (r *replicas) admit() {
	for len(r.waiting) > 0 && r.busy < r.size.Replicas {
		close(r.waiting[0])
		r.waiting = r.waiting[1:]
		r.busy++
	}
}

// enter waits for a replica and returns the processors that it has; false: the client went away.
func (r *replicas) enter(ctx context.Context) (cpus float64, ok bool) {
	turn := make(chan struct{})
	r.mu.Lock()
	r.waiting = append(r.waiting, turn)
	r.admit()
	r.mu.Unlock()
	select {
	case <-turn:
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, w := range r.waiting {
			if w == turn {
				r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
				return 0, false
			}
		}
		r.busy-- // its turn came meanwhile
		r.admit()
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return CPUs()[r.size.CPU], true
}

func (r *replicas) use(seconds float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used += seconds
}

func (r *replicas) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	r.admit()
}

// see is the utilisation of the interval that ends, and how many wait.
func (r *replicas) see(interval float64) (utilisation float64, waiting int, size Size) {
	r.mu.Lock()
	defer r.mu.Unlock()
	utilisation = min(1, r.used/(float64(r.size.Replicas)*interval))
	r.used = 0
	return utilisation, len(r.waiting), r.size
}

// StartBackends starts them; a second of the world takes so many seconds here (scale, such as 0.02).
func StartBackends(w *World, scale float64) (*Backends, error) {
	b := &Backends{w: w, scale: scale}
	for i := range w.Services {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start service %s: %w", w.Services[i].Name, err), b.Close())
		}
		b.services = append(b.services, &replicas{size: w.start(i).size})
		srv := &http.Server{Handler: b.handler(i), ReadHeaderTimeout: 10 * time.Second}
		b.servers, b.address = append(b.servers, srv), append(b.address, l.Addr().String())
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

func (b *Backends) handler(i int) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		normal, err := strconv.ParseFloat(r.Header.Get("X-Normal"), 64)
		if err != nil {
			http.Error(rw, "no X-Normal", http.StatusBadRequest)
			return
		}
		// The body is read to its end, so that the server notices a client that goes away.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		s := b.services[i]
		cpus, ok := s.enter(r.Context())
		if !ok {
			return
		}
		defer s.leave()
		request := Request{Normal: make([]float64, len(b.w.Services))}
		request.Normal[i] = normal
		service := b.w.time(&request, i, cpus)
		s.use(service)
		timer := time.NewTimer(time.Duration(service * b.scale * float64(time.Second)))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	})
}

// Emulate plays a policy over the requests of a seed against backends, in real time but for the scale. Requests that
// are not answered when the run's time is over are given up.
func (w *World) Emulate(ctx context.Context, p Policy, seed uint64, b *Backends) (Result, error) {
	if err := w.Validate(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &emulation{w: w, b: b, load: w.load(seed), answered: make(chan answered, 1024), client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256, Proxy: nil}}}
	defer e.client.CloseIdleConnections()
	defer e.flying.Wait()
	defer cancel() // before waiting for those that are given up
	for i := range w.Services {
		e.sizes = append(e.sizes, w.start(i))
		b.services[i].resize(e.sizes[i].size)
	}
	e.began = time.Now()
	for at := w.IntervalSec; at <= w.Minutes*60; at += w.IntervalSec {
		s, err := e.interval(ctx, at)
		if err != nil {
			return Result{}, err
		}
		e.result.add(w, s)
		for i, want := range w.valid(p.Scale(s)) {
			if e.sizes[i].want(want) {
				e.result.Changes++
			}
			b.services[i].resize(e.sizes[i].size)
		}
	}
	e.result.Came = e.came
	e.result.finish(e.all)
	return e.result, nil
}

// answered is a request that ended.
type answered struct {
	request int
	took    float64 // s of the world; below 0: it failed
}

// emulation is the state of one Emulate.
type emulation struct {
	w        *World
	b        *Backends
	load     *load
	client   *http.Client
	flying   sync.WaitGroup
	answered chan answered
	sizes    []sizing
	began    time.Time
	came     int
	open     []openRequest // by arrival, the answered ones at the front left out
	took     []float64
	all      []float64
	result   Result
}

type openRequest struct {
	request int
	at      float64
	done    bool
}

// due is when a time of the world is here.
func (e *emulation) due(at float64) time.Duration {
	return time.Until(e.began.Add(time.Duration(at * e.b.scale * float64(time.Second))))
}

// interval sends what comes until a time and returns what was seen.
func (e *emulation) interval(ctx context.Context, until float64) (*Seen, error) {
	before := e.came
	for {
		next := min(e.load.at, until)
		timer := time.NewTimer(e.due(next))
		for waiting := true; waiting; {
			select {
			case a := <-e.answered:
				e.take(a)
			case <-timer.C:
				waiting = false
			case <-ctx.Done():
				timer.Stop()
				return nil, ctx.Err()
			}
		}
		if next == until {
			break
		}
		r := e.load.next()
		e.open = append(e.open, openRequest{request: e.came, at: r.At})
		n := e.came
		e.came++
		e.flying.Go(func() {
			a := answered{n, e.send(ctx, &r)}
			select {
			case e.answered <- a:
			case <-ctx.Done():
			}
		})
	}
	s := &Seen{RatePerSec: float64(e.came-before) / e.w.IntervalSec, Forecast: e.load.forecast(until),
		MeanSec: mean(e.took)}
	if len(e.took) == 0 && len(e.open) > 0 {
		s.MeanSec = until - e.open[0].at
	}
	e.took = e.took[:0]
	for _, r := range e.b.services {
		u, waiting, size := r.see(e.w.IntervalSec)
		s.Utilisation, s.Waiting, s.Sizes = append(s.Utilisation, u), append(s.Waiting, waiting), append(s.Sizes, size)
	}
	s.Reward = e.w.Reward(s.MeanSec, s.Utilisation)
	return s, nil
}

func (e *emulation) take(a answered) {
	if a.took >= 0 {
		e.took, e.all = append(e.took, a.took), append(e.all, a.took)
	}
	if len(e.open) > 0 {
		if i := a.request - e.open[0].request; i >= 0 && i < len(e.open) {
			e.open[i].done = true
		}
	}
	for len(e.open) > 0 && e.open[0].done {
		e.open = e.open[1:]
	}
}

// send sends a request through the chain and returns its time from when it was due, in s of the world; below 0: it
// failed.
func (e *emulation) send(ctx context.Context, r *Request) float64 {
	for i := range e.b.address {
		if !r.needs(i) {
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.b.address[i]+"/", http.NoBody)
		if err != nil {
			return -1
		}
		req.Header.Set("X-Normal", strconv.FormatFloat(r.Normal[i], 'g', -1, 64))
		resp, err := e.client.Do(req)
		if err != nil {
			return -1
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return -1
		}
	}
	return time.Since(e.began).Seconds()/e.b.scale - r.At
}
