package tuner

import (
	"math"

	"trimtab/tuner/plan"
	"trimtab/weights"
)

// PlanFor returns the settings that would be planned now if the given multiple of the present load arrived, whatever a change costs; nil
// before the first plan. It changes nothing.
func (t *Tuner) PlanFor(load float64) weights.Set {
	out := weights.Set{}
	for _, p := range t.pools {
		if len(p.beliefs) != len(p.servers) || len(p.shares) != len(p.groups) {
			return nil
		}
		problem := &plan.Problem{Params: t.params, Table: t.table, Beliefs: p.beliefs, ErrorTardiness: t.cfg.ErrorTardiness}
		for _, g := range p.groups {
			pg := plan.Group{Method: g.method, RatePerSec: g.rate.PerSec(), DeadlineSec: g.deadline, SCV: g.scv}
			for i := range g.links {
				l := &g.links[i]
				pg.Links = append(pg.Links, plan.Link{Server: l.index, Class: l.class, Off: l.off()})
			}
			problem.Groups = append(problem.Groups, pg)
		}
		if full := t.params.Stress * problem.Capacity(); !math.IsInf(full, 1) {
			problem.Demand = []plan.Demand{{Load: math.Min(load*t.params.Headroom, math.Max(full, load)), Probability: 1 - t.params.StressShare},
				{Load: math.Max(full, load), Probability: t.params.StressShare}}
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
