package rival

import (
	"math/rand/v2"

	"trimtab/neural"
)

// experience is what a learner in training has met, and where it is: the part of training that all kinds share.
type experience struct {
	source  *rand.PCG
	rng     *rand.Rand
	memory  *replay
	before  []float64 // state that the last action was chosen in; nil: an episode begins
	last    []float64 // that action
	cost    float64   // potential of that state, negated
	seen    int       // transitions
	updates int       // steps of training
	err     error
	draw    batch
}

// newExperience is of nothing yet. The stream keeps kinds of one seed apart.
func newExperience(seed, stream uint64, width, picks, room int) experience {
	source := rand.NewPCG(seed, stream)
	return experience{source: source, rng: rand.New(source), memory: newReplay(width, picks, room)}
}

// meet stores that the last action led to a state, and reports whether there was one. The potential Φ = −cost of states
// counts beside the reward: γΦ(s′) − Φ(s).
func (e *experience) meet(state []float64, reward, cost, gamma float64) bool {
	led := e.before != nil
	if led {
		e.memory.add(e.before, e.last, reward+e.cost-gamma*cost, state)
		e.seen++
	}
	e.cost = cost
	return led
}

// fit takes the scale of inputs from what was met, once that is enough.
func (e *experience) fit(scaler *neural.Scaler, known *bool, warmUp int) {
	if !*known && e.memory.len() >= warmUp {
		*scaler, *known = neural.FitScaler(e.memory.States, e.memory.Width), true
	}
}

// chose notes the action that is taken in a state.
func (e *experience) chose(state, action []float64) {
	e.before, e.last = append(e.before[:0], state...), action
}

// fading goes from one number to another over so many transitions, and stays there.
func (e *experience) fading(from, to float64, over int) float64 {
	done := min(1, float64(e.seen)/float64(over))
	return from + done*(to-from)
}

// finite counts a step of training and reports whether its loss is a number, and, now and then, whether all
// parameters are.
func (e *experience) finite(kind string, seed uint64, loss float64, net *neural.Net) bool {
	e.updates++
	if neural.Finite([]float64{loss}) && (e.updates%64 != 0 || net.Finite()) {
		return true
	}
	e.err = &DivergedError{Kind: kind, What: "the loss", Step: e.updates, Seed: seed}
	return false
}
