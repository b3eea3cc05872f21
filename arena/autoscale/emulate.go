package autoscale

import (
	"context"
	"net/http"
	"sync"
	"time"

	"trimtab/arena/emulated"
)

// Backends are the services of a world as real HTTP servers on loopback: a POST is answered when a replica was free and
// its time is over.
type Backends struct {
	*emulated.Servers
	scale    float64
	services []*replicas
}

// replicas are those of one service: so many requests at once, the others wait.
type replicas struct {
	gate *emulated.Gate
	mu   sync.Mutex
	size Size
	used float64 // replica-seconds of the interval, of the world
}

// resize changes the size and lets in who may now be served.
func (r *replicas) resize(size Size) {
	r.mu.Lock()
	r.size = size
	r.mu.Unlock()
	r.gate.Resize(size.Replicas)
}

// use counts the time of a request that is served now, and returns it.
func (r *replicas) use(of func(cpus float64) float64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	service := of(CPUs()[r.size.CPU])
	r.used += service
	return service
}

// see is the utilisation of the interval that ends, and how many wait.
func (r *replicas) see(interval float64) (utilisation float64, waiting int, size Size) {
	r.mu.Lock()
	defer r.mu.Unlock()
	utilisation = min(1, r.used/(float64(r.size.Replicas)*interval))
	r.used = 0
	_, waiting = r.gate.Count()
	return utilisation, waiting, r.size
}

// StartBackends starts them; a second of the world takes so many seconds here (scale, such as 0.02).
func StartBackends(w *World, scale float64) (*Backends, error) {
	b := &Backends{scale: scale}
	var handlers []http.Handler
	for i := range w.Services {
		size := w.start(i).size
		b.services = append(b.services, &replicas{size: size, gate: emulated.NewGate(size.Replicas)})
		handlers = append(handlers, b.services[i].handler(w, i, scale))
	}
	var err error
	b.Servers, err = emulated.Start(handlers...)
	return b, err
}

func (r *replicas) handler(w *World, i int, scale float64) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		emulated.Serve(rw, req, r.gate, scale, func(normal float64) float64 {
			request := Request{Normal: make([]float64, len(w.Services))}
			request.Normal[i] = normal
			return r.use(func(cpus float64) float64 { return w.time(&request, i, cpus) })
		})
	})
}

// Emulate plays a policy over the requests of a seed against backends, in real time but for the scale. Requests that
// are not answered when the run's time is over are given up.
func (w *World) Emulate(ctx context.Context, p Policy, seed uint64, b *Backends) (Result, error) {
	if err := w.Validate(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &emulation{w: w, b: b, load: w.load(seed), answered: make(chan answered, 1024), client: emulated.Client()}
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
	for i := range e.w.Services {
		if !r.needs(i) {
			continue
		}
		if _, err := emulated.Ask(ctx, e.client, e.b.URL(i), r.Normal[i], 0); err != nil {
			return -1
		}
	}
	return time.Since(e.began).Seconds()/e.b.scale - r.At
}
