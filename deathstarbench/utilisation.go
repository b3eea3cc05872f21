package deathstarbench

import (
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"
)

// Utilisation is the share of each server's slots that the load at the offset t asks for when every group splits its
// requests by weights, faults left out: ρ_i = Σ_g λ_g w_gi/Σ_j w_gj · s_gi / c_i. Above 1 the server cannot keep up.
// The result is in the order of s.Servers; weights are by upstream name, in the order of the group's servers, and the
// scenario's own where a group is missing.
func (s *Scenario) Utilisation(t time.Duration, weights map[string][]int) []float64 {
	index := make(map[string]int, len(s.Servers))
	for i := range s.Servers {
		index[s.Servers[i].Name] = i
	}
	rho := make([]float64, len(s.Servers))
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		split, ok := weights[u.Name]
		if !ok {
			split = u.Weights
		}
		sum := 0
		for _, w := range split {
			sum += w
		}
		if sum <= 0 {
			continue
		}
		rate := s.RateAt(u.Workload, t)
		for j, name := range u.Servers {
			server := &s.Servers[index[name]]
			share := float64(split[j]) / float64(sum)
			rho[index[name]] += rate * share * server.Service[u.Workload].Std().Seconds() / float64(server.Slots)
		}
	}
	return rho
}

// BestUtilisation is the lowest utilisation of the busiest server that any split of the requests of each group reaches
// at the offset t, faults left out. It solves the linear program: minimise z subject to Σ_i x_gi = 1 for every
// group g, Σ_g λ_g s_gi x_gi / c_i ≤ z for every server i, x ≥ 0.
func (s *Scenario) BestUtilisation(t time.Duration) (float64, error) {
	// The simplex method wants equalities in at least as many unknowns: one slack y_i per server, and z last.
	// Unknowns: x of every (group, server) pair with load, then y, then z.
	index := make(map[string]int, len(s.Servers))
	for i := range s.Servers {
		index[s.Servers[i].Name] = i
	}
	var active []*Upstream
	pairs := 0
	for i := range s.Upstreams {
		if s.RateAt(s.Upstreams[i].Workload, t) > 0 {
			active = append(active, &s.Upstreams[i])
			pairs += len(s.Upstreams[i].Servers)
		}
	}
	if len(active) == 0 {
		return 0, nil
	}
	rows, columns := len(active)+len(s.Servers), pairs+len(s.Servers)+1
	a := mat.NewDense(rows, columns, nil)
	b := make([]float64, rows)
	cost := make([]float64, columns)
	cost[columns-1] = 1
	x := 0
	for g, u := range active {
		b[g] = 1
		for _, name := range u.Servers {
			i := index[name]
			work := s.RateAt(u.Workload, t) * s.Servers[i].Service[u.Workload].Std().Seconds() /
				float64(s.Servers[i].Slots)
			a.Set(g, x, 1)
			a.Set(len(active)+i, x, work)
			x++
		}
	}
	for i := range s.Servers {
		a.Set(len(active)+i, pairs+i, 1)
		a.Set(len(active)+i, columns-1, -1)
	}
	z, _, err := lp.Simplex(cost, a, b, 1e-10, nil)
	if err != nil {
		return 0, fmt.Errorf("best split of scenario %s at %s: %w", s.Name, t, err)
	}
	return z, nil
}

// Peak is the instant of a scenario at which its load asks most of its servers, faults left out.
type Peak struct {
	At    time.Duration
	Rate  float64 // of all workloads, requests per second
	Equal float64 // utilisation of the busiest server with equal weights
	Best  float64 // utilisation of the busiest server with the split that is best for it
}

// Peak finds the instant at which the best split is worst.
func (s *Scenario) Peak() (Peak, error) {
	var peak Peak
	busier := func(at time.Duration) bool { // some group is than at the peak so far: else it cannot ask for more
		return peak.Best == 0 || slices.ContainsFunc(s.Upstreams, func(u Upstream) bool {
			return s.RateAt(u.Workload, at) > s.RateAt(u.Workload, peak.At)
		})
	}
	for i := range s.Loads {
		for _, p := range s.Loads[i].Phases {
			at := p.At.Std()
			if !busier(at) {
				continue
			}
			best, err := s.BestUtilisation(at)
			if err != nil {
				return Peak{}, err
			}
			if best <= peak.Best {
				continue
			}
			peak = Peak{At: at, Best: best}
			equal := make(map[string][]int, len(s.Upstreams))
			for j := range s.Upstreams {
				u := &s.Upstreams[j]
				equal[u.Name] = slices.Repeat([]int{1}, len(u.Servers))
				peak.Rate += s.RateAt(u.Workload, at)
			}
			peak.Equal = slices.Max(s.Utilisation(at, equal))
		}
	}
	return peak, nil
}
