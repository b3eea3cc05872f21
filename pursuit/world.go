package pursuit

import (
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/tuner/plan"
	"trimtab/weights"
)

// World is what settings are sought for: servers, services and the controls that may be used.
type World struct {
	Servers  []Server
	Services []Service
}

// Server is one server.
type Server struct {
	Name       string
	Slots      int       // requests that it serves at once; of one that is scaled: with the units it has now
	ServiceSec []float64 // mean by service, in the order of World.Services; 0: it does not serve it
	SCV        float64   // squared coefficient of variation of service times
	Scaling    control.ScalingLimits
}

// Service is one upstream.
type Service struct {
	Name          string
	Method        plan.Method
	Arrival       string  // how regular requests come: fixed, norm or exp, as the simulator has it
	OfferedPerSec float64 // before admission
	Links         []Link
	Admission     control.AdmissionLimits
	// FixedWeights says that weights are no control: they stay as they are in force.
	FixedWeights bool
}

// Link is a server of a service.
type Link struct {
	Server int  // index into World.Servers
	Off    bool // takes no requests, and is no choice
}

// Setting is one point of the controls' grid.
type Setting struct {
	Weights [][]int   // by service and link, 1 to 100
	Blocked []float64 // by service
	Units   []int     // by server; 0: not scaled
}

// Clone returns a copy.
func (s Setting) Clone() Setting {
	out := Setting{Blocked: slices.Clone(s.Blocked), Units: slices.Clone(s.Units),
		Weights: make([][]int, len(s.Weights))}
	for i := range s.Weights {
		out.Weights[i] = slices.Clone(s.Weights[i])
	}
	return out
}

// key tells settings apart.
func (s Setting) key() string { return fmt.Sprint(s.Weights, s.Blocked, s.Units) }

// Equal reports whether two settings are the same.
func (s Setting) Equal(o Setting) bool { return s.key() == o.key() }

// slots are the slots of a server in a setting.
func (w *World) slots(s *Setting, j int) int {
	srv := &w.Servers[j]
	if srv.Scaling.On() && j < len(s.Units) && s.Units[j] > 0 {
		return s.Units[j] * max(srv.Scaling.SlotsPerUnit, 1)
	}
	return srv.Slots
}

// capacity are the units in use of the servers that are scaled.
func (w *World) capacity(s *Setting) float64 {
	sum := 0
	for j := range w.Servers {
		if w.Servers[j].Scaling.On() && j < len(s.Units) {
			sum += s.Units[j]
		}
	}
	return float64(sum)
}

// share is the share of the requests of a service that the weights give each link, in the order of its links.
func (w *World) share(s *Setting, k int) []float64 {
	out, sum := make([]float64, len(w.Services[k].Links)), 0.0
	for i, l := range w.Services[k].Links {
		if !l.Off {
			out[i] = float64(s.Weights[k][i])
			sum += out[i]
		}
	}
	for i := range out {
		out[i] /= math.Max(sum, 1)
	}
	return out
}

// Start is the setting that lets everybody in, with equal weights and all capacity.
func (w *World) Start() Setting {
	s := Setting{Blocked: make([]float64, len(w.Services)), Units: make([]int, len(w.Servers))}
	for k := range w.Services {
		row := make([]int, len(w.Services[k].Links))
		for i := range row {
			row[i] = 1
		}
		s.Weights = append(s.Weights, row)
	}
	for j := range w.Servers {
		s.Units[j] = w.Servers[j].Scaling.Max
	}
	return s
}

// FromScenario is the true world of a scenario at a time: its loads and the faults of capacity and speed that are on
// then.
func FromScenario(sc *deathstarbench.Scenario, at time.Duration) World {
	var w World
	index := map[string]int{}
	for j := range sc.Servers {
		v := &sc.Servers[j]
		index[v.Name] = j
		srv := Server{Name: v.Name, Slots: v.Slots, SCV: v.ServiceCV * v.ServiceCV,
			ServiceSec: make([]float64, len(sc.Upstreams)), Scaling: v.Capacity.Limits()}
		factor := 1.0
		for i := range sc.Faults {
			f := &sc.Faults[i]
			if f.Server != v.Name || f.At.Std() > at || f.Until.Std() <= at {
				continue
			}
			switch f.Kind {
			case deathstarbench.Capacity:
				srv.Slots = f.Slots
			case deathstarbench.Slowdown:
				factor *= f.Factor
			}
		}
		for k := range sc.Upstreams {
			srv.ServiceSec[k] = v.Service[sc.Upstreams[k].Workload].Std().Seconds() * factor
		}
		w.Servers = append(w.Servers, srv)
	}
	for k := range sc.Upstreams {
		u := &sc.Upstreams[k]
		s := Service{Name: u.Name, Method: plan.Method(u.Method), OfferedPerSec: sc.RateAt(u.Workload, at),
			Admission: u.Objective.Limits()}
		for i := range sc.Loads {
			if sc.Loads[i].Workload == u.Workload {
				s.Arrival = sc.Loads[i].Arrival
			}
		}
		for _, name := range u.Servers {
			s.Links = append(s.Links, Link{Server: index[name]})
		}
		w.Services = append(w.Services, s)
	}
	return w
}

// Weigh are the weights of a setting as the vocabulary has them; servers that are off keep what inForce says.
func (w *World) Weigh(s Setting, inForce weights.Set) weights.Set {
	out := weights.Set{}
	for k := range w.Services {
		v := &w.Services[k]
		group := make(weights.Group, len(v.Links))
		for i, l := range v.Links {
			name := w.Servers[l.Server].Name
			set := weights.Setting{Weight: weights.Clamp(s.Weights[k][i])}
			if now, ok := inForce[v.Name][name]; ok && l.Off {
				set = now
			}
			group[name] = set
		}
		out[v.Name] = group
	}
	return out
}
