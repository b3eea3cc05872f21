package control

import (
	"trimtab/vts"
	"trimtab/weights"
)

// InForce returns the settings that the status page showed at the end of the sample. A weight outside
// weights.Min…weights.Max is clamped: the operator may have written it, but no policy can.
func InForce(s vts.Sample) weights.Set {
	set := make(weights.Set, len(s.Groups))
	for _, g := range s.Groups {
		group := make(weights.Group, len(g.Peers))
		for _, p := range g.Peers {
			group[p.Server] = weights.Setting{Weight: weights.Clamp(p.Weight), Down: p.Down}
		}
		set[g.Name] = group
	}
	return set
}
