package tuner

import "trimtab/vts"

// InForce returns the settings that the status page showed at the end of the sample. A weight outside
// MinWeight…MaxWeight is clamped: the operator may have written it, but no proposal can.
func InForce(s vts.Sample) Weights {
	w := make(Weights, len(s.Groups))
	for _, g := range s.Groups {
		group := make(map[string]Setting, len(g.Peers))
		for _, p := range g.Peers {
			weight, _ := NewWeight(min(max(p.Weight, MinWeight), MaxWeight))
			group[p.Server] = Setting{Weight: weight, Down: p.Down}
		}
		w[g.Name] = group
	}
	return w
}
