// Package learn holds what experience says of each regime of load: the value of the few actions that there are (one
// reward a visit), and how far the model of costs is off.
//
//	r := learn.NewRegime()
//	a := r.Choose()             // when the regime begins
//	r.Learn(a, reward)          // when it has ended
//
// The package knows neither what an action does nor how a cost is measured.
package learn

import (
	"math"
	"slices"
)

// Action is how general the plan of a regime is: for what may come beside what is there.
type Action string

// The actions, the first the one that is taken while nothing speaks against it.
const (
	Specific Action = "specific" // for the load of the regime, and of those that follow
	General  Action = "general"  // for any load that fills the servers
)

// Actions are all actions, in the order of Regime.Cells.
func Actions() []Action { return []Action{Specific, General} }

// Regime is what was learned in one regime of load: the value of each action and how far the model is off. The reward
// of an action is −log(measured cost ÷ cost that the model gives weights in proportion to capacity), the mean over a
// visit, so that what a regime costs anyhow is in the model and what is learned is its error.
type Regime struct {
	Cells      []Cell  `json:"cells"`      // by action
	Correction float64 `json:"correction"` // mean log(measured ÷ model's cost)
	Visits     float64 `json:"visits"`
}

// Cell is the value of an action: the mean reward of its visits.
type Cell struct {
	Value  float64 `json:"value"`
	Visits float64 `json:"visits"`
}

const (
	explore   = 0.15 // log cost: how much is hoped of an action that was never taken; falls with the visits of each
	leastStep = 0.1  // least step of an update: what was learned ten visits ago is nearly forgotten
)

// NewRegime knows nothing yet.
func NewRegime() *Regime { return &Regime{Cells: make([]Cell, len(Actions()))} }

// Choose is the action with the highest value, one seldom taken counting for more (an upper confidence bound).
func (r *Regime) Choose() Action {
	best, most := 0, math.Inf(-1)
	for i, c := range r.Cells {
		v := c.Value + explore/math.Sqrt(1+c.Visits)
		if c.Visits == 0 { // as good as the regime is on average
			v = -r.Correction + explore/2
		}
		if v > most {
			best, most = i, v
		}
	}
	return Actions()[best]
}

// Learn takes in the reward of a visit in which the action was taken.
func (r *Regime) Learn(a Action, reward float64) {
	if math.IsNaN(reward) || math.IsInf(reward, 0) {
		return
	}
	r.Visits++
	r.Correction += math.Max(1/r.Visits, leastStep) * (-reward - r.Correction)
	if i := slices.Index(Actions(), a); i >= 0 {
		c := &r.Cells[i]
		c.Visits++
		c.Value += math.Max(1/c.Visits, leastStep) * (reward - c.Value)
	}
}

// Valid reports whether a regime that was read from a file knows the actions.
func (r *Regime) Valid() bool { return r != nil && len(r.Cells) == len(Actions()) }
