package tuner

import (
	"fmt"
	"math"
	"strings"

	"trimtab/tuner/learn"
	"trimtab/tuner/plan"
)

// NextRegime is a regime of load that may begin soon.
type NextRegime struct {
	Regime      int                `json:"regime"` // its identity
	Probability float64            `json:"probability"`
	WithinSec   float64            `json:"within_s"`
	RatePerSec  map[string]float64 `json:"rate_per_s"` // by upstream group
}

func (x NextRegime) words() string {
	total := 0.0
	for _, r := range x.RatePerSec {
		total += r
	}
	return fmt.Sprintf("load %d, %.0f requests per second", x.Regime, total)
}

// Experience is what was learned of a pool in the present regime.
type Experience struct {
	Regime     int                      `json:"regime"` // its identity
	Action     learn.Action             `json:"action"`
	Values     map[learn.Action]float64 `json:"values"` // of the actions taken so far
	Visits     float64                  `json:"visits"`
	Correction float64                  `json:"log_correction"` // mean log(measured ÷ model's cost)
}

func (x *Experience) words() string {
	if x.Visits == 0 {
		return fmt.Sprintf("none yet with load %d; the plan is %s", x.Regime, x.Action)
	}
	var values []string
	for _, a := range learn.Actions() {
		if v, ok := x.Values[a]; ok {
			values = append(values, fmt.Sprintf("%s %.2f", a, v))
		}
	}
	return fmt.Sprintf("%.0f visits of load %d: costs were %.2f times the model's; the plan is %s (values: %s)",
		x.Visits, x.Regime, math.Exp(x.Correction), x.Action, strings.Join(values, ", "))
}

// regimes states what is planned for and what experience says.
func (e *PoolExplanation) regimes(t *Tuner, p *pool, problem *plan.Problem) {
	e.Demand = problem.Demand
	id, _ := t.regime()
	if id < 0 {
		return
	}
	known := p.experience.regimes[id]
	x := &Experience{Regime: id, Action: p.experience.visit.action, Values: map[learn.Action]float64{},
		Visits: known.Visits, Correction: known.Correction}
	for i, a := range learn.Actions() {
		if known.Cells[i].Visits > 0 {
			x.Values[a] = known.Cells[i].Value
		}
	}
	e.Experience = x
}

// expected are the regimes that may begin soon.
func (t *Tuner) expected() (out []NextRegime) {
	f := t.regimes.Forecast()
	if f == nil {
		return nil
	}
	likely, _, _ := f.Within(t.params.ForecastSec)
	for _, l := range likely {
		if l.Probability < leastLikely {
			continue
		}
		d := f.Demands()[l.Demand]
		x := NextRegime{Regime: d.ID, Probability: l.Probability, WithinSec: t.params.ForecastSec}
		x.RatePerSec = make(map[string]float64, len(f.Groups()))
		for g, name := range f.Groups() {
			x.RatePerSec[name] = d.RatePerSec[g]
		}
		out = append(out, x)
	}
	return out
}
