package tuner

import (
	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner/learn"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
)

type (
	Weight            = weights.Weight
	Setting           = weights.Setting
	Weights           = weights.Set
	Decision          = control.Decision
	RegimeConfig      = load.RegimeConfig
	RegimeExplanation = load.Regime
	Cell              = learn.Cell
	Basis             = objective.Basis
	moments           = objective.Moments
)

const (
	MinWeight             = weights.Min
	MaxWeight             = weights.Max
	FromNothing           = objective.FromNothing
	DefaultErrorTardiness = objective.DefaultErrorTardiness
)

// Observation is what a policy sees at the end of a control interval.
type Observation struct {
	Sample  vts.Sample
	Current Weights // in force at the end of the interval
}

// Policy adapts a Tuner to control.Policy.
type Policy struct {
	*Tuner
	pending *Observation // not chosen on yet
	last    Decision
}

var _ control.Policy = (*Policy)(nil)

// Observe implements control.Policy.
func (p *Policy) Observe(s vts.Sample, inForce weights.Set) {
	if p.pending != nil {
		p.Tuner.Observe(*p.pending)
	}
	p.pending = &Observation{Sample: s, Current: inForce}
}

// Choose implements control.Policy.
func (p *Policy) Choose() control.Decision {
	if p.pending != nil {
		p.last, p.pending = p.Decide(*p.pending), nil
	}
	return p.last
}

// Committed implements control.Policy.
func (p *Policy) Committed(control.Receipt) {}

func sameGroup(a, b map[string]Setting) bool { return weights.Group(a).Equal(b) }
