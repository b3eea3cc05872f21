package vtstest

import (
	"math/rand/v2"
	"time"
)

// Outcome is one attempt as the module counts it.
type Outcome struct {
	Lasts    time.Duration // from its begin until it is counted
	Class    int           // 1 to 5, of its status
	Answered bool          // false: there was no upstream status, and so no response time
}

// Behaviour draws the outcome of an attempt on a server.
type Behaviour func(rng *rand.Rand) Outcome

// Healthy answers 200 after a gamma-distributed time (shape 2) of the mean given.
func Healthy(mean time.Duration) Behaviour {
	return func(rng *rand.Rand) Outcome {
		d := (rng.ExpFloat64() + rng.ExpFloat64()) / 2 * float64(mean)
		return Outcome{Lasts: time.Duration(d), Class: 2, Answered: true}
	}
}

// Hanging never answers; clients give up after patience (499).
func Hanging(patience time.Duration) Behaviour {
	return func(*rand.Rand) Outcome { return Outcome{Lasts: patience, Class: 4} }
}

// Shedding answers 429 in 1 ms.
func Shedding() Behaviour {
	return func(*rand.Rand) Outcome { return Outcome{Lasts: time.Millisecond, Class: 4, Answered: true} }
}

// Sometimes behaves as one with probability p, else as the other.
func Sometimes(p float64, one, other Behaviour) Behaviour {
	return func(rng *rand.Rand) Outcome {
		if rng.Float64() < p {
			return one(rng)
		}
		return other(rng)
	}
}
