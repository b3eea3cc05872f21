package deathstarbench

import "time"

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
