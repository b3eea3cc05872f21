package autoscale

import (
	"container/heap"
	"errors"
	"slices"
)

// event is the end of a service.
type event struct {
	at      float64
	request *Request
	stage   int
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// stage is a service in a run.
type stage struct {
	sizing
	busy    int
	waiting []*Request
	used    float64 // replica-seconds of the interval
}

// Episode is a run of the world in simulated time, interval by interval.
type Episode struct {
	w      *World
	load   *load
	stages []stage
	queue  events
	came   int
	at     float64
	took   []float64 // of the interval
	all    []float64
	result Result
}

// Begin begins a run; the same seed, the same requests.
func (w *World) Begin(seed uint64) (*Episode, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	e := &Episode{w: w, load: w.load(seed), stages: make([]stage, len(w.Services))}
	for i := range e.stages {
		e.stages[i].sizing = w.start(i)
	}
	return e, nil
}

// Over reports whether the run's time is over.
func (e *Episode) Over() bool { return e.at >= e.w.Minutes*60 }

// Next plays an interval and returns what was seen of it.
func (e *Episode) Next() (*Seen, error) {
	if e.Over() {
		return nil, errors.New("the run is over")
	}
	until, before := e.at+e.w.IntervalSec, e.came
	for {
		switch {
		case e.load.at < until && (len(e.queue) == 0 || e.load.at <= e.queue[0].at):
			r := e.load.next()
			e.came++
			e.enter(r.At, &r, 0)
			continue
		case len(e.queue) > 0 && e.queue[0].at < until:
			end := heap.Pop(&e.queue).(event)
			e.stages[end.stage].busy--
			e.serve(end.at, end.stage)
			e.enter(end.at, end.request, end.stage+1)
			continue
		}
		break
	}
	e.at = until
	s := e.see(float64(e.came-before) / e.w.IntervalSec)
	e.result.add(e.w, s)
	return s, nil
}

// Scale asks for sizes; those that there are not are brought within what there is.
func (e *Episode) Scale(sizes []Size) {
	for i, want := range e.w.valid(sizes) {
		if e.stages[i].want(want) {
			e.result.Changes++
		}
		e.serve(e.at, i)
	}
}

// Result is what the run gave until now.
func (e *Episode) Result() Result {
	out := e.result
	out.Came = e.came
	out.finish(slices.Clone(e.all))
	return out
}

// Play plays a policy in simulated time.
func (w *World) Play(p Policy, seed uint64) (Result, error) {
	e, err := w.Begin(seed)
	if err != nil {
		return Result{}, err
	}
	for !e.Over() {
		s, err := e.Next()
		if err != nil {
			return Result{}, err
		}
		e.Scale(p.Scale(s))
	}
	return e.Result(), nil
}

// enter brings a request to a stage, or past it.
func (e *Episode) enter(at float64, r *Request, to int) {
	for to < len(e.stages) && !r.needs(to) {
		to++
	}
	if to < len(e.stages) {
		e.stages[to].waiting = append(e.stages[to].waiting, r)
		e.serve(at, to)
		return
	}
	e.took = append(e.took, at-r.At)
	e.all = append(e.all, at-r.At)
}

// serve begins services while there are free replicas.
func (e *Episode) serve(at float64, i int) {
	s := &e.stages[i]
	for len(s.waiting) > 0 && s.busy < s.size.Replicas {
		r := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.busy++
		service := e.w.time(r, i, CPUs()[s.size.CPU])
		s.used += service
		heap.Push(&e.queue, event{at: at + service, request: r, stage: i})
	}
}

// see is what is seen of the interval that ends now. Without answers while requests wait, the response time is what the
// oldest has waited.
func (e *Episode) see(rate float64) *Seen {
	s := &Seen{RatePerSec: rate, Forecast: e.load.forecast(e.at), MeanSec: mean(e.took)}
	for i := range e.stages {
		st := &e.stages[i]
		s.Utilisation = append(s.Utilisation, min(1, st.used/(float64(st.size.Replicas)*e.w.IntervalSec)))
		s.Waiting = append(s.Waiting, len(st.waiting))
		s.Sizes = append(s.Sizes, st.size)
		st.used = 0
		if len(e.took) == 0 && len(st.waiting) > 0 {
			s.MeanSec = max(s.MeanSec, e.at-st.waiting[0].At)
		}
	}
	e.took = e.took[:0]
	s.Reward = e.w.Reward(s.MeanSec, s.Utilisation)
	return s
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v / float64(len(x))
	}
	return sum
}

func (r *Result) add(w *World, s *Seen) {
	intervals := w.Minutes * 60 / w.IntervalSec
	r.Reward += s.Reward / intervals
	if s.MeanSec <= w.ObjectiveSec {
		r.Met += 1 / intervals
	}
	for i, u := range s.Utilisation {
		r.Utilisation += u / float64(len(s.Utilisation)) / intervals
		r.CPUs += float64(s.Sizes[i].Replicas) * CPUs()[s.Sizes[i].CPU] / intervals
	}
}

// finish works out the response times; it sorts all.
func (r *Result) finish(all []float64) {
	if r.Requests = len(all); r.Requests == 0 {
		return
	}
	r.MeanMS = 1e3 * mean(all)
	slices.Sort(all)
	r.P99MS = 1e3 * all[min(len(all)-1, int(0.99*float64(len(all))))]
}
