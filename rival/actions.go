package rival

import (
	"errors"
	"fmt"
	"math"

	"trimtab/weights"
)

// ActionSet says what a learner of discrete actions may do to the weights of a group.
type ActionSet struct {
	// Kind is ActLevels, every distinct vector over Levels, or ActSteps, weights multiplied or divided by Factor.
	Kind   string  `json:"kind"`
	Levels []int   `json:"levels,omitempty"` // default 1, 3, 5
	Factor float64 `json:"factor,omitempty"` // default 1.5
}

// The kinds of actions.
const (
	ActLevels = "levels"
	ActSteps  = "steps"
)

const (
	// mostActions bounds a group's actions: beyond it a network of this size learns nothing in minutes.
	mostActions = 512
	// jointServers is up to which size of a group its servers are stepped together; in larger groups one at a time.
	jointServers = 3
	// mostRatio of two weights that steps lead to: what NGINX's 1 to 100 can express well.
	mostRatio = 50
)

// complete fills in what may be left out.
func (a *ActionSet) complete() {
	if a.Kind == "" {
		a.Kind = ActSteps
	}
	if a.Kind == ActLevels && len(a.Levels) == 0 {
		a.Levels = []int{1, 3, 5}
	}
	if a.Kind == ActSteps && a.Factor == 0 {
		a.Factor = 1.5
	}
}

// validate reports what is wrong with a complete set for a shape.
func (a ActionSet) validate(s Shape) error {
	switch a.Kind {
	case ActLevels:
		for _, l := range a.Levels {
			if _, err := weights.New(l); err != nil {
				return fmt.Errorf("level of actions: %w", err)
			}
		}
	case ActSteps:
		if !(a.Factor > 1 && a.Factor <= 10) {
			return fmt.Errorf("factor of actions %v: want above 1, at most 10", a.Factor)
		}
	default:
		return fmt.Errorf("actions %q: want %s or %s", a.Kind, ActLevels, ActSteps)
	}
	for _, g := range s.Groups {
		if n := len(g.Servers); a.Kind == ActLevels && math.Pow(float64(len(a.Levels)), float64(n)) > 4*mostActions {
			return fmt.Errorf("upstream %s: too many vectors of %d levels for %d servers: take %s", g.Name,
				len(a.Levels), n, ActSteps)
		}
	}
	if len(s.Groups) == 0 {
		return errors.New("a world without upstreams")
	}
	return nil
}

// moves are the actions of a group of n servers: for levels the logarithms of weights, for steps how many steps each
// server goes.
func (a ActionSet) moves(n int) [][]float64 {
	switch {
	case a.Kind == ActLevels:
		values := make([]float64, len(a.Levels))
		for i, l := range a.Levels {
			values[i] = math.Log(float64(l))
		}
		return distinct(values, n)
	case n <= jointServers:
		step := math.Log(a.Factor)
		return distinct([]float64{0, -step, step}, n)
	}
	out := [][]float64{make([]float64, n)}
	for i := range n {
		for _, d := range []float64{math.Log(a.Factor), -math.Log(a.Factor)} {
			m := make([]float64, n)
			m[i] = d
			out = append(out, m)
		}
	}
	return out
}

// distinct are all vectors over the values that differ by more than a common summand.
func distinct(values []float64, n int) [][]float64 {
	total := int(math.Pow(float64(len(values)), float64(n)))
	seen := map[string]bool{}
	var out [][]float64
	for k := range total {
		v, key := make([]float64, n), ""
		for i := range v {
			v[i] = values[k%len(values)]
			k /= len(values)
			key += fmt.Sprintf("%.6f ", v[i]-v[0])
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	return out
}

// apply returns the weights that a move leads to from the shares in force.
func (a ActionSet) apply(shares, move []float64) []weights.Weight {
	x, most := make([]float64, len(move)), 0.0
	for i := range x {
		x[i] = math.Exp(move[i])
		if a.Kind == ActSteps {
			x[i] *= shares[i]
		}
		most = max(most, x[i])
	}
	for i := range x {
		x[i] = max(x[i], most/mostRatio)
	}
	return weights.Quantise(x)
}
