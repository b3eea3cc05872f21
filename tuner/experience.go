package tuner

import (
	"math"
	"slices"

	"trimtab/tuner/learn"
	"trimtab/tuner/plan"
)

// experience is what a pool has learned of the regimes of load, by the identity of their demand, and the visit that is
// going on.
type experience struct {
	regimes map[int]*learn.Regime
	visit   Visit
}

// Visit is one visit of a regime.
type Visit struct {
	Regime int          `json:"regime"` // identity of its demand; −1: none that is known
	Action learn.Action `json:"action"`
	Sum    float64      `json:"reward_sum"` // of its intervals, by their length
	Sec    float64      `json:"s"`
}

// Experience is what was learned of a pool in the present regime.
type Experience struct {
	Regime     int                      `json:"regime"` // its identity
	Action     learn.Action             `json:"action"`
	Values     map[learn.Action]float64 `json:"values"` // of the actions taken so far
	Visits     float64                  `json:"visits"`
	Correction float64                  `json:"log_correction"` // mean log(measured ÷ model's cost)
}

func newExperience() experience {
	return experience{regimes: map[int]*learn.Regime{}, visit: Visit{Regime: -1}}
}

const (
	visitLeast = 60.0 // s below which a visit says nothing
	visitFirst = 15.0 // s that still belong to the regime before
)

// enter begins a visit when the regime is another one than before and learns from the one that has ended. It returns
// the action of the visit.
func (x *experience) enter(regime int) learn.Action {
	v := &x.visit
	if regime == v.Regime {
		return v.Action
	}
	if known := x.regimes[v.Regime]; known != nil && v.Sec >= visitLeast {
		known.Learn(v.Action, v.Sum/v.Sec)
	}
	*v = Visit{Regime: regime, Action: learn.General}
	if regime < 0 {
		return v.Action
	}
	if x.regimes[regime] == nil {
		x.regimes[regime] = learn.NewRegime()
	}
	v.Action = x.regimes[regime].Choose()
	return v.Action
}

// observe takes in an interval of the visit that is going on.
func (x *experience) observe(t *Tuner, p *pool, problem *plan.Problem, seconds float64) {
	_, lasted := t.regime()
	if x.visit.Regime < 0 || lasted <= visitFirst {
		return
	}
	if r := p.reward(problem, seconds); !math.IsNaN(r) && !math.IsInf(r, 0) {
		x.visit.Sum += r * p.turn.sinceSec // it stands for the intervals in which others had their turn
		x.visit.Sec += p.turn.sinceSec
	}
}

// reward is −log of what an interval cost to what the model says weights in proportion to capacity cost at the present
// load; NaN without requests.
func (p *pool) reward(problem *plan.Problem, seconds float64) float64 {
	cost := 0.0
	for _, g := range p.groups {
		m := &g.measured
		cost += m.Tardiness + m.Errors*problem.ErrorTardiness
		if g.deadline > 0 {
			cost += problem.Params.MeanShare * m.MeanSec / g.deadline * m.Requests
		}
	}
	if cost <= 0 || seconds <= 0 {
		return math.NaN()
	}
	present := *problem
	present.Demand = nil
	return present.Cost(present.Proportional()) - math.Log(cost/seconds)
}

// copied is a copy of what was learned.
func (x *experience) copied() map[int]*learn.Regime {
	out := make(map[int]*learn.Regime, len(x.regimes))
	for id, r := range x.regimes {
		c := *r
		c.Cells = slices.Clone(r.Cells)
		out[id] = &c
	}
	return out
}

// regimes states what is planned for and what experience says.
func (e *PoolExplanation) regimes(t *Tuner, p *pool, problem *plan.Problem) {
	e.Demand = problem.Demand
	id, _ := t.regime()
	if id < 0 {
		return
	}
	known := p.experience.regimes[id]
	x := &Experience{Regime: id, Action: p.experience.visit.Action, Values: map[learn.Action]float64{},
		Visits: known.Visits, Correction: known.Correction}
	for i, a := range learn.Actions() {
		if known.Cells[i].Visits > 0 {
			x.Values[a] = known.Cells[i].Value
		}
	}
	e.Experience = x
}
