package arena

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/vts"
	"trimtab/weights"
)

// RegionAware sends every workload to its nearest servers by network delay and spills over to the next ones when
// those would be busier than a bound: topology-aware routing, which knows distances and capacities from the scenario
// (an inventory, in real life) and measures nothing but rates. Faults do not exist for it.
type RegionAware struct {
	control.Fixed
	scenario *deathstarbench.Scenario
	bound    float64
}

// NewRegionAware returns the policy; a bound of 0 means 0.8 of a server's slots.
func NewRegionAware(sc *deathstarbench.Scenario, bound float64) *RegionAware {
	if bound == 0 {
		bound = 0.8
	}
	return &RegionAware{scenario: sc, bound: bound}
}

var (
	_ control.Policy = (*RegionAware)(nil)
	_ Starter        = (*RegionAware)(nil)
)

// Initial implements Starter, for the rates at the start.
func (r *RegionAware) Initial() weights.Set {
	return r.fill(func(u *deathstarbench.Upstream) float64 { return r.scenario.RateAt(u.Workload, 0) })
}

// Observe implements control.Policy.
func (r *RegionAware) Observe(s vts.Sample, inForce weights.Set) {
	r.Decision = r.decide(s, inForce)
}

func (r *RegionAware) decide(sample vts.Sample, inForce weights.Set) control.Decision {
	seconds := sample.Interval.Seconds()
	if seconds <= 0 {
		return control.Decision{Reason: "hold: no time passed"}
	}
	want := r.fill(func(u *deathstarbench.Upstream) float64 {
		for _, g := range sample.Groups {
			if g.Name == u.Name {
				return float64(g.Requests()) / seconds
			}
		}
		return 0
	})
	for group, settings := range want {
		if near(settings, inForce[group], 0.05) {
			delete(want, group)
		}
	}
	if len(want) == 0 {
		return control.Decision{Reason: "hold: the nearest servers keep up"}
	}
	return control.Decision{Weights: want, Reason: fmt.Sprintf("nearest servers, at most %.0f %% busy", 100*r.bound)}
}

// fill hands out the capacity of the servers, nearest first, to one group after the other.
func (r *RegionAware) fill(rate func(*deathstarbench.Upstream) float64) weights.Set {
	free := make(map[string]float64, len(r.scenario.Servers)) // slots that may still be filled
	for _, s := range r.scenario.Servers {
		free[s.Name] = r.bound * float64(s.Slots)
	}
	out := weights.Set{}
	for i := range r.scenario.Upstreams {
		u := &r.scenario.Upstreams[i]
		type place struct {
			index    int
			distance time.Duration
			service  float64
		}
		places := make([]place, len(u.Servers))
		for j, name := range u.Servers {
			s := r.scenario.Server(name)
			places[j] = place{j, s.Delay(u.Workload), s.Service[u.Workload].Std().Seconds()}
		}
		slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.distance, b.distance) })
		left, x := rate(u), make([]float64, len(u.Servers))
		for from := 0; from < len(places) && left > 0; {
			// Servers at the same distance fill up together, in proportion to what they can take.
			to, room := from, 0.0
			for to < len(places) && places[to].distance == places[from].distance {
				room += free[u.Servers[places[to].index]] / places[to].service
				to++
			}
			take := math.Min(left, room)
			for _, p := range places[from:to] {
				name := u.Servers[p.index]
				if room > 0 {
					share := take * (free[name] / p.service) / room
					x[p.index] += share
					free[name] -= share * p.service
				}
			}
			left -= take
			from = to
		}
		if left > 0 { // more than all can take: by capacity
			total := 0.0
			for _, p := range places {
				total += float64(r.scenario.Server(u.Servers[p.index]).Slots) / p.service
			}
			for _, p := range places {
				x[p.index] += left * float64(r.scenario.Server(u.Servers[p.index]).Slots) / p.service / total
			}
		}
		out[u.Name] = settingsOf(u.Servers, weights.Quantise(x))
	}
	return out
}

func settingsOf(servers []string, w []weights.Weight) weights.Group {
	m := make(weights.Group, len(servers))
	for i, s := range servers {
		m[s] = weights.Setting{Weight: w[i]}
	}
	return m
}

// near reports whether every share of a differs from b's by at most band of all.
func near(a, b weights.Group, band float64) bool {
	if len(a) != len(b) {
		return false
	}
	sumA, sumB := 0.0, 0.0
	for server, s := range a {
		sumA += float64(s.Weight.Int())
		sumB += float64(b[server].Weight.Int())
	}
	for server, s := range a {
		if math.Abs(float64(s.Weight.Int())/sumA-float64(b[server].Weight.Int())/sumB) > band {
			return false
		}
	}
	return true
}
