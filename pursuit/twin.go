package pursuit

import (
	"fmt"
	"math"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/objective"
)

// Value is what a setting gives, over intervals that were played.
type Value struct {
	Reward    float64           // mean over the intervals
	SE        float64           // its standard error
	Held      []float64         // share of the intervals in which the bound of each service held
	Mean      objective.Outcome // means over the intervals
	Intervals int
}

// lead is the time that is played and not counted before the first interval, s: empty servers are no start.
const lead = 5.0

// quietRate stands for no load, requests per second: the twin wants some.
const quietRate = 1e-3

// Play has the twin play a setting for so many intervals and says what it gave. The same seed plays the same requests
// whatever the setting.
func (w *World) Play(s *Setting, o objective.Objective, interval time.Duration, intervals int, seed uint64) (Value,
	error) {
	sc := w.scenario(s, interval, intervals)
	run, err := sim.New(sc, sim.Options{Seed: seed, BucketsMsec: buckets(o), Live: true})
	if err != nil {
		return Value{}, fmt.Errorf("play the twin: %w", err)
	}
	if err := run.SetBlocked(w.blocked(s)); err != nil {
		return Value{}, fmt.Errorf("play the twin: %w", err)
	}
	v := Value{Held: make([]float64, len(w.Services)),
		Mean: objective.Outcome{Services: make([]objective.Service, len(w.Services))}}
	capacity := w.capacity(s)
	square := 0.0
	for skip := int(math.Ceil(lead / interval.Seconds())); !run.Done(); {
		sample, err := run.Step()
		if err != nil {
			return Value{}, fmt.Errorf("play the twin: %w", err)
		}
		if skip > 0 {
			skip--
			continue
		}
		out := objective.Observe(sample, o.Terms(), capacity)
		r := o.Reward(out)
		v.Reward += r
		square += r * r
		v.Intervals++
		for i, held := range objective.Held(o, out) {
			k := w.index(out.Services[i].Name)
			m := &v.Mean.Services[k]
			m.Name = out.Services[i].Name
			m.OfferedPerSec += out.Services[i].OfferedPerSec
			m.CarriedPerSec += out.Services[i].CarriedPerSec
			m.DelaySec += out.Services[i].DelaySec
			m.Tardiness += out.Services[i].Tardiness
			if held {
				v.Held[k]++
			}
		}
	}
	n := float64(max(v.Intervals, 1))
	v.Reward /= n
	v.SE = math.Sqrt(math.Max(0, square/n-v.Reward*v.Reward) / n)
	v.Mean.Capacity = capacity
	for k := range v.Held {
		v.Held[k] /= n
		m := &v.Mean.Services[k]
		m.OfferedPerSec, m.CarriedPerSec, m.DelaySec, m.Tardiness = m.OfferedPerSec/n, m.CarriedPerSec/n, m.DelaySec/n,
			m.Tardiness/n
	}
	return v, nil
}

// buckets are those of the histograms that an objective asks for: none unless it bounds a quantile.
func buckets(o objective.Objective) []float64 {
	for _, t := range o.Terms() {
		if t.Quantile > 0 || t.Deadline > 0 && o.Kind() == objective.KindTardiness {
			return nil // the default
		}
	}
	return []float64{}
}

func (w *World) index(name string) int {
	for k := range w.Services {
		if w.Services[k].Name == name {
			return k
		}
	}
	return -1
}

func (w *World) blocked(s *Setting) map[string]float64 {
	out := make(map[string]float64, len(w.Services))
	for k := range w.Services {
		out[w.Services[k].Name] = s.Blocked[k]
	}
	return out
}

// scenario is a world with a setting in force, as the twin plays it: classes are called as services.
func (w *World) scenario(s *Setting, interval time.Duration, intervals int) *deathstarbench.Scenario {
	played := time.Duration(intervals)*interval + time.Duration(math.Ceil(lead/interval.Seconds()))*interval
	sc := &deathstarbench.Scenario{Name: "twin", Duration: deathstarbench.Duration(played),
		ControlInterval: deathstarbench.Duration(interval)}
	for j := range w.Servers {
		v := &w.Servers[j]
		srv := deathstarbench.Server{Name: v.Name, Slots: w.slots(s, j), ServiceCV: math.Sqrt(v.SCV),
			QueueLimit: deathstarbench.DefaultQueueLimit,
			Service:    map[string]deathstarbench.Duration{}}
		for k, sec := range v.ServiceSec {
			if sec > 0 {
				srv.Service[w.Services[k].Name] = deathstarbench.Duration(sec * float64(time.Second))
			}
		}
		sc.Servers = append(sc.Servers, srv)
	}
	for k := range w.Services {
		v := &w.Services[k]
		u := deathstarbench.Upstream{Name: v.Name, Workload: v.Name, Method: string(v.Method)}
		for i, l := range v.Links {
			if !l.Off {
				u.Servers, u.Weights = append(u.Servers, w.Servers[l.Server].Name), append(u.Weights, s.Weights[k][i])
			}
		}
		sc.Upstreams = append(sc.Upstreams, u)
		arrival := v.Arrival
		if arrival == "" {
			arrival = "exp"
		}
		sc.Loads = append(sc.Loads, deathstarbench.Traffic{Workload: v.Name, Arrival: arrival,
			Phases: []deathstarbench.Phase{{Rate: math.Max(v.OfferedPerSec, quietRate)}}})
	}
	return sc
}
