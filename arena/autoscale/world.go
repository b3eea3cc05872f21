package autoscale

import (
	"container/heap"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Service is one microservice of the chain.
type Service struct {
	Name       string
	ServiceSec float64 // mean of a request with one processor; lognormal with ServiceCV
	Visits     float64 // share of the requests that need it
	Most       int     // replicas at most
}

// World is a chain of services under a load.
type World struct {
	Services     []Service
	Minutes      float64 // length of a run
	IntervalSec  float64 // between two decisions
	ObjectiveSec float64 // of the mean response time
	Base, Swing  float64 // requests per second: mean, and how far the wave goes from it
	Bursts       int     // sudden ones, of Burst more for two minutes each
	Burst        float64
	ForecastCV   float64 // error of the forecast
}

// ServiceCV is the coefficient of variation of service times.
const ServiceCV = 0.5

// Default is the world that policies are compared in: an hour of one wave with four bursts, four services, 400 ms.
func Default() *World {
	return &World{Services: []Service{{"gateway", 0.02, 1, 10}, {"catalogue", 0.06, 0.8, 20}, {"cart", 0.05, 0.5, 20}, {"payment", 0.12, 0.25, 20}},
		Minutes: 60, IntervalSec: 15, ObjectiveSec: 0.4, Base: 45, Swing: 30, Bursts: 4, Burst: 35, ForecastCV: 0.1}
}

// CPUs are the processors that a replica may have.
func CPUs() []float64 { return []float64{0.5, 1, 2} }

// Validate reports what is wrong.
func (w *World) Validate() error {
	var errs []error
	if len(w.Services) == 0 || !(w.Minutes > 0) || !(w.IntervalSec > 0) || !(w.ObjectiveSec > 0) || !(w.Base > 0) || w.Swing < 0 || w.Swing > w.Base || w.Burst < 0 {
		errs = append(errs, fmt.Errorf("want services, and a length, interval, objective and load above 0, no swing beyond it: got %+v", *w))
	}
	for _, s := range w.Services {
		if !(s.ServiceSec > 0) || !(s.Visits > 0 && s.Visits <= 1) || s.Most < 1 {
			errs = append(errs, fmt.Errorf("service %s: want a time above 0, visits of 0 to 1, and at least one replica", s.Name))
		}
	}
	return errors.Join(errs...)
}

// Size is what a service has.
type Size struct {
	Replicas int
	CPU      int // index into CPUs
}

// Seen is what a policy sees after an interval.
type Seen struct {
	RatePerSec  float64 // that came
	Forecast    float64 // of the next interval
	MeanSec     float64 // of the answers; 0: there were none
	Utilisation []float64
	Waiting     []int
	Sizes       []Size
	Reward      float64 // of the interval
}

// Policy chooses sizes.
type Policy interface {
	Scale(s *Seen) []Size
}

// Result is what a run gave.
type Result struct {
	Requests    int     `json:"requests"`
	Reward      float64 `json:"reward"` // mean over intervals
	MeanMS      float64 `json:"mean_ms"`
	P99MS       float64 `json:"p99_ms"`
	Met         float64 `json:"met"` // share of the intervals in which the mean was within the objective
	Utilisation float64 `json:"utilisation"`
	CPUs        float64 `json:"cpus"` // in use, mean
	Changes     int     `json:"changes"`
}

// rate is the load at a time, s; bursts begin at the times given.
func (w *World) rate(at float64, bursts []float64) float64 {
	r := w.Base - w.Swing*math.Cos(2*math.Pi*at/(w.Minutes*60))
	for _, b := range bursts {
		if at >= b && at < b+120 {
			r += w.Burst
		}
	}
	return r
}

// event is an arrival at a stage or the end of a service.
type event struct {
	at      float64
	request int
	stage   int
	done    bool
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
	size    Size
	coming  Size // in force from the next interval on: replicas need time to start
	busy    int
	waiting []int
	used    float64 // replica-seconds of the interval
	rng     *rand.Rand
}

// Reward is R_qos / R_util.
func (w *World) Reward(meanSec float64, utilisation []float64) float64 {
	qos := 1.0
	if over := (meanSec - w.ObjectiveSec) / w.ObjectiveSec; over > 0 {
		qos = math.Exp(-over * over)
	}
	util := 1.0
	for _, u := range utilisation {
		util += (1 - u) / float64(len(utilisation))
	}
	return qos / util
}

// valid brings sizes within what there is.
func (w *World) valid(s []Size) []Size {
	out := make([]Size, len(w.Services))
	for i := range out {
		out[i] = Size{min(max(s[i].Replicas, 1), w.Services[i].Most), min(max(s[i].CPU, 0), len(CPUs())-1)}
	}
	return out
}

// Play plays a policy; the same seed, the same requests.
func (w *World) Play(p Policy, seed uint64) (Result, error) {
	if err := w.Validate(); err != nil {
		return Result{}, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x6175746f))
	end := w.Minutes * 60
	var bursts []float64
	for range w.Bursts {
		bursts = append(bursts, rng.Float64()*end)
	}
	top := w.Base + w.Swing + float64(w.Bursts)*w.Burst
	next := func(at float64) float64 { // thinning
		for {
			if at += rng.ExpFloat64() / top; rng.Float64()*top < w.rate(at, bursts) {
				return at
			}
		}
	}
	stages := make([]stage, len(w.Services))
	for i := range stages {
		stages[i] = stage{size: Size{2, 1}, coming: Size{2, 1}, rng: rand.New(rand.NewPCG(seed, 0x73657276+uint64(i)))}
	}
	forecaster := rand.New(rand.NewPCG(seed, 0x666f7265))
	r := &run{w: w, stages: stages, arrived: []float64{}}
	coming := next(0)
	var result Result
	for at := 0.0; at < end; {
		until := at + w.IntervalSec
		came := 0
		for {
			switch {
			case coming < until && (len(r.queue) == 0 || coming <= r.queue[0].at):
				r.arrived = append(r.arrived, coming)
				came++
				r.enter(coming, len(r.arrived)-1, 0)
				coming = next(coming)
				continue
			case len(r.queue) > 0 && r.queue[0].at < until:
				e := heap.Pop(&r.queue).(event)
				r.end(e)
				continue
			}
			break
		}
		at = until
		seen := r.see(at, float64(came)/w.IntervalSec)
		seen.Forecast = w.rate(at+w.IntervalSec/2, bursts) * (1 + w.ForecastCV*forecaster.NormFloat64())
		result.add(w, seen)
		want := w.valid(p.Scale(seen))
		for i := range stages {
			s := &stages[i]
			if s.coming != want[i] {
				result.Changes++
			}
			// What goes away goes at once, what comes needs an interval.
			s.size = s.coming
			s.coming = want[i]
			if want[i].Replicas < s.size.Replicas {
				s.size.Replicas = want[i].Replicas
			}
			s.size.CPU = want[i].CPU
			r.serve(at, i)
		}
	}
	result.finish(r.all)
	return result, nil
}
