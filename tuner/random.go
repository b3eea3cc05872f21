package tuner

import "math/rand/v2"

// Random draws every weight uniformly from 1, 3 and 5 at every decision: the floor that a learner has to beat.
type Random struct{ rng *rand.Rand }

// NewRandom returns the policy of random weights; the same seed gives the same weights.
func NewRandom(seed uint64) *Random {
	return &Random{rng: rand.New(rand.NewPCG(seed, 0x7261_6e64))}
}

var _ Policy = (*Random)(nil)

// Decide implements Policy.
func (r *Random) Decide(o Observation) Decision {
	w := make(Weights, len(o.Sample.Groups))
	for _, g := range o.Sample.Groups {
		x := make([]float64, len(g.Peers))
		for i := range x {
			x[i] = float64(1 + 2*r.rng.IntN(3))
		}
		w[g.Name] = settings(g, Quantise(x))
	}
	return Decision{Weights: w, Reason: "random weights of 1, 3 and 5"}
}
