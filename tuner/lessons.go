package tuner

import (
	"math"

	"trimtab/tuner/plan"
	"trimtab/weights"
)

// PlanFor returns the settings that would be planned now if the given multiple of the present load arrived, whatever a
// change costs; nil before the first plan. It changes nothing.
func (t *Tuner) PlanFor(load float64) weights.Set {
	out := weights.Set{}
	for _, p := range t.pools {
		if len(p.beliefs) != len(p.servers) || len(p.shares) != len(p.groups) {
			return nil
		}
		problem := &plan.Problem{Params: t.params, Table: t.table, Beliefs: p.beliefs, Groups: p.planned(),
			ErrorTardiness: t.cfg.ErrorTardiness}
		if full := t.params.Stress * problem.Capacity(); !math.IsInf(full, 1) {
			full = math.Max(full, load)
			problem.Demand = []plan.Demand{
				{Load: math.Min(load*t.params.Headroom, full), Probability: 1 - t.params.StressShare},
				{Load: full, Probability: t.params.StressShare},
			}
		}
		x := problem.Solve(problem.Proportional())
		p.bound(x)
		want, _ := p.settings(x, nil)
		for name, g := range want {
			out[name] = g
		}
	}
	return out
}
