package rival

import (
	"math/rand/v2"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// Random draws every weight uniformly from 1, 3 and 5 in every interval: the floor that a learner has to beat.
type Random struct {
	control.Fixed
	rng *rand.Rand
}

// NewRandom returns the policy of random weights; the same seed gives the same weights.
func NewRandom(seed uint64) *Random {
	return &Random{rng: rand.New(rand.NewPCG(seed, 0x7261_6e64))}
}

var _ control.Policy = (*Random)(nil)

// Observe implements control.Policy.
func (r *Random) Observe(s vts.Sample, _ weights.Set) {
	w := make(weights.Set, len(s.Groups))
	for _, g := range s.Groups {
		x := make([]float64, len(g.Peers))
		for i := range x {
			x[i] = float64(1 + 2*r.rng.IntN(3))
		}
		w[g.Name] = settings(g, weights.Quantise(x))
	}
	r.Decision = control.Decision{Weights: w, Reason: "random weights of 1, 3 and 5"}
}
