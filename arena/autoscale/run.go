package autoscale

import (
	"container/heap"
	"math"
	"slices"
)

// run is the state of one Play.
type run struct {
	w       *World
	stages  []stage
	queue   events
	arrived []float64
	took    []float64 // of the interval
	all     []float64
}

// enter brings a request to a stage, or past it.
func (r *run) enter(at float64, request, to int) {
	for to < len(r.stages) {
		if s := &r.stages[to]; s.rng.Float64() < r.w.Services[to].Visits {
			s.waiting = append(s.waiting, request)
			r.serve(at, to)
			return
		}
		to++
	}
	r.took = append(r.took, at-r.arrived[request])
	r.all = append(r.all, at-r.arrived[request])
}

// serve begins services while there are free replicas.
func (r *run) serve(at float64, i int) {
	s := &r.stages[i]
	for len(s.waiting) > 0 && s.busy < s.size.Replicas {
		request := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.busy++
		v := math.Log1p(ServiceCV * ServiceCV)
		service := r.w.Services[i].ServiceSec / CPUs()[s.size.CPU] * math.Exp(math.Sqrt(v)*s.rng.NormFloat64()-v/2)
		s.used += service
		heap.Push(&r.queue, event{at: at + service, request: request, stage: i, done: true})
	}
}

// end is the end of a service.
func (r *run) end(e event) {
	r.stages[e.stage].busy--
	r.serve(e.at, e.stage)
	r.enter(e.at, e.request, e.stage+1)
}

// see is what is seen of the interval that ends now. Without answers while requests wait, the response time is what the oldest has waited.
func (r *run) see(at, rate float64) *Seen {
	s := &Seen{RatePerSec: rate}
	for _, t := range r.took {
		s.MeanSec += t / float64(len(r.took))
	}
	for i := range r.stages {
		st := &r.stages[i]
		s.Utilisation = append(s.Utilisation, min(1, st.used/(float64(st.size.Replicas)*r.w.IntervalSec)))
		s.Waiting = append(s.Waiting, len(st.waiting))
		s.Sizes = append(s.Sizes, st.size)
		st.used = 0
		if len(r.took) == 0 && len(st.waiting) > 0 {
			s.MeanSec = max(s.MeanSec, at-r.arrived[st.waiting[0]])
		}
	}
	r.took = r.took[:0]
	s.Reward = r.w.Reward(s.MeanSec, s.Utilisation)
	return s
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

func (r *Result) finish(all []float64) {
	if r.Requests = len(all); r.Requests == 0 {
		return
	}
	for _, t := range all {
		r.MeanMS += 1e3 * t / float64(len(all))
	}
	slices.Sort(all)
	r.P99MS = 1e3 * all[min(len(all)-1, int(0.99*float64(len(all))))]
}
