package autoscale

import (
	"errors"
	"fmt"
	"math"
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
	Name         string
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

// CPUs are the processors that a replica may have.
func CPUs() []float64 { return []float64{0.5, 1, 2} }

const (
	mostServices = 64
	mostArrivals = 1e8 // of a run
	burstSec     = 120
)

// Arrivals are how many requests a run has at most, about.
func (w *World) Arrivals() float64 {
	return w.Minutes * 60 * (w.Base + w.Swing + float64(w.Bursts)*w.Burst)
}

// Validate reports what is wrong.
func (w *World) Validate() error {
	var errs []error
	if len(w.Services) == 0 || len(w.Services) > mostServices || w.Bursts < 0 || w.ForecastCV < 0 ||
		!(w.Minutes > 0) || !(w.IntervalSec > 0) || !(w.ObjectiveSec > 0) || !(w.Base > 0) ||
		w.Swing < 0 || w.Swing > w.Base || w.Burst < 0 {
		errs = append(errs, fmt.Errorf("want 1 to 64 services, and a length, interval, objective and load above 0, no swing "+
			"beyond it: got %+v", *w))
	}
	if !(w.Arrivals() <= mostArrivals) || w.Minutes*60 < w.IntervalSec {
		errs = append(errs, fmt.Errorf("%v minutes of up to %.0f requests: want at most %.0g, and an interval at least",
			w.Minutes, w.Arrivals(), float64(mostArrivals)))
	}
	seen := map[string]bool{}
	for _, s := range w.Services {
		if s.Name == "" || seen[s.Name] {
			errs = append(errs, fmt.Errorf("service %q: want a name of its own", s.Name))
		}
		seen[s.Name] = true
		if !(s.ServiceSec > 0) || !(s.Visits > 0 && s.Visits <= 1) || s.Most < 1 {
			errs = append(errs, fmt.Errorf("service %s: want a time above 0, visits of 0 to 1, and at least "+
				"one replica", s.Name))
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
	Came        int     `json:"came"`     // requests that came
	Requests    int     `json:"requests"` // that were answered within the run
	Reward      float64 `json:"reward"`   // mean over intervals
	MeanMS      float64 `json:"mean_ms"`
	P99MS       float64 `json:"p99_ms"`
	Met         float64 `json:"met"` // share of the intervals in which the mean was within the objective
	Utilisation float64 `json:"utilisation"`
	CPUs        float64 `json:"cpus"` // in use, mean
	Changes     int     `json:"changes"`
}

// rate is the load at a time, s; bursts begin at the times given.
func (w *World) rate(at float64, bursts []float64) float64 {
	return w.Base - w.Swing*math.Cos(2*math.Pi*at/(w.Minutes*60)) + w.bursting(at, bursts)
}

// bursting is what bursts add at a time.
func (w *World) bursting(at float64, bursts []float64) float64 {
	r := 0.0
	for _, b := range bursts {
		if at >= b && at < b+burstSec {
			r += w.Burst
		}
	}
	return r
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
