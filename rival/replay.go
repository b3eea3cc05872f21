package rival

import "math/rand/v2"

// replay is the memory of transitions that a learner draws its batches from, a ring. Fields are exported for
// checkpoints.
type replay struct {
	Width, Picks int       // of a state; of actions per transition
	Room         int       // transitions
	States       []float64 // before
	Next         []float64 // after
	Actions      []float64
	Rewards      []float64
	At           int // where the next one goes
}

func newReplay(width, picks, room int) *replay {
	return &replay{Width: width, Picks: picks, Room: room}
}

func (r *replay) len() int { return len(r.Rewards) }

func (r *replay) add(state, action []float64, reward float64, next []float64) {
	if r.len() < r.Room {
		r.States = append(r.States, state...)
		r.Next = append(r.Next, next...)
		r.Actions = append(r.Actions, action...)
		r.Rewards = append(r.Rewards, reward)
		return
	}
	copy(r.States[r.At*r.Width:], state)
	copy(r.Next[r.At*r.Width:], next)
	copy(r.Actions[r.At*r.Picks:], action)
	r.Rewards[r.At] = reward
	r.At = (r.At + 1) % r.Room
}

// batch is what was drawn, row by row.
type batch struct {
	states, next, actions, rewards []float64
}

// draw draws n transitions with replacement, each scaled by scale.
func (r *replay) draw(b *batch, n int, rng *rand.Rand, scale func(dst, x []float64)) {
	b.states, b.next = sized(b.states, n*r.Width), sized(b.next, n*r.Width)
	b.actions, b.rewards = sized(b.actions, n*r.Picks), sized(b.rewards, n)
	for i := range n {
		k := rng.IntN(r.len())
		scale(b.states[i*r.Width:(i+1)*r.Width], r.States[k*r.Width:(k+1)*r.Width])
		scale(b.next[i*r.Width:(i+1)*r.Width], r.Next[k*r.Width:(k+1)*r.Width])
		copy(b.actions[i*r.Picks:(i+1)*r.Picks], r.Actions[k*r.Picks:(k+1)*r.Picks])
		b.rewards[i] = r.Rewards[k]
	}
}

func sized(x []float64, n int) []float64 {
	if cap(x) < n {
		return make([]float64, n)
	}
	return x[:n]
}
