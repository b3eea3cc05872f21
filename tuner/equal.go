package tuner

import "trimtab/vts"

// Equal gives every server of every group weight 1.
type Equal struct{}

// NewEqual returns the policy of equal weights.
func NewEqual() Equal { return Equal{} }

var _ Policy = Equal{}

// Decide implements Policy.
func (Equal) Decide(o Observation) Decision {
	w := make(Weights)
	for _, g := range o.Sample.Groups {
		if candidate := settings(g, make([]Weight, len(g.Peers))); !sameGroup(candidate, o.Current[g.Name]) {
			w[g.Name] = candidate
		}
	}
	if len(w) == 0 {
		return Decision{Reason: "hold: weights are equal"}
	}
	return Decision{Weights: w, Reason: "equal weights"}
}

// settings pairs the peers of a group with weights, keeping what is marked down.
func settings(g vts.GroupSample, weights []Weight) map[string]Setting {
	m := make(map[string]Setting, len(g.Peers))
	for i, p := range g.Peers {
		m[p.Server] = Setting{Weight: weights[i], Down: p.Down}
	}
	return m
}

func sameGroup(a, b map[string]Setting) bool {
	if len(a) != len(b) {
		return false
	}
	for server, s := range a {
		if t, ok := b[server]; !ok || s != t {
			return false
		}
	}
	return true
}
