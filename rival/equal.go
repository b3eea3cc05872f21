package rival

import (
	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// Equal gives every server of every group weight 1.
type Equal struct{ control.Fixed }

// NewEqual returns the policy of equal weights.
func NewEqual() *Equal { return &Equal{} }

var _ control.Policy = (*Equal)(nil)

// Observe implements control.Policy.
func (e *Equal) Observe(s vts.Sample, inForce weights.Set) {
	w := make(weights.Set)
	for _, g := range s.Groups {
		if candidate := settings(g, make([]weights.Weight, len(g.Peers))); !candidate.Equal(inForce[g.Name]) {
			w[g.Name] = candidate
		}
	}
	e.Decision = control.Decision{Weights: w, Reason: "equal weights"}
	if len(w) == 0 {
		e.Decision.Reason = "hold: weights are equal"
	}
}

// settings pairs the peers of a group with weights, keeping what is marked down.
func settings(g vts.GroupSample, w []weights.Weight) weights.Group {
	m := make(weights.Group, len(g.Peers))
	for i, p := range g.Peers {
		m[p.Server] = weights.Setting{Weight: w[i], Down: p.Down}
	}
	return m
}
