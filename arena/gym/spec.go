package gym

import (
	"fmt"
	"math"
)

// API is the version of the contract over HTTP. It changes when a client of the one before would misunderstand.
const API = 1

// Space is a set of vectors.
type Space struct {
	Type string `json:"type"` // "box": numbers between Low and High; "discrete": one whole number of 0…N−1
	N    int    `json:"n,omitempty"`
	// Shape, Low and High are of a box. Names say what each number is, with its unit; of a discrete space what each
	// choice is.
	Shape []int     `json:"shape,omitempty"`
	Low   []float64 `json:"low,omitempty"`
	High  []float64 `json:"high,omitempty"`
	Names []string  `json:"names,omitempty"`
}

// Unbounded is the High of numbers that have no bound: JSON has no infinity.
const Unbounded = math.MaxFloat32

// box is a space of numbers with these names, all between the same bounds.
func box(names []string, low, high float64) Space {
	s := Space{Type: "box", Shape: []int{len(names)}, Names: names, Low: make([]float64, len(names)),
		High: make([]float64, len(names))}
	for i := range names {
		s.Low[i], s.High[i] = low, high
	}
	return s
}

// Width is the length of the vectors.
func (s Space) Width() int {
	if s.Type == "discrete" {
		return 1
	}
	return s.Shape[0]
}

// Check reports why a vector is not in the space.
func (s Space) Check(x []float64) error {
	if len(x) != s.Width() {
		return fmt.Errorf("action of %d numbers: want %d", len(x), s.Width())
	}
	for i, v := range x {
		switch {
		case s.Type == "discrete":
			if v != math.Trunc(v) || !(v >= 0 && v < float64(s.N)) {
				return fmt.Errorf("action %v: want a whole number of 0 to %d", v, s.N-1)
			}
		case !(v >= s.Low[i] && v <= s.High[i]):
			return fmt.Errorf("action, number %d (%s): %v: want %v to %v", i, s.Names[i], v, s.Low[i], s.High[i])
		}
	}
	return nil
}

// Spec describes an environment.
type Spec struct {
	API         int    `json:"api"`
	ID          string `json:"id"`
	World       string `json:"world"`
	Observation Space  `json:"observation_space"`
	Action      Space  `json:"action_space"`
	Reward      string `json:"reward"`
	Ends        string `json:"ends"`
	MaxSteps    int    `json:"max_steps"` // after which an episode is truncated
}

// Info is what an agent must not learn from.
type Info map[string]float64

// Env is one environment. It is used by one goroutine at a time.
type Env interface {
	Spec() Spec
	// Reset begins an episode: the same seed, the same world.
	Reset(seed uint64) (observation []float64, info Info, err error)
	// Step plays one step. An action outside of its space is an error, and nothing is played.
	Step(action []float64) (Step, error)
}

// Step is what one step led to.
type Step struct {
	Observation []float64
	Reward      float64
	Terminated  bool
	Truncated   bool
	Info        Info
}
