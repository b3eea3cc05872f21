package tuner

import (
	"slices"

	"trimtab/tuner/learn"
	"trimtab/tuner/load"
	"trimtab/tuner/plan"
)

// demand are the loads that a plan is made for:
//
//   - the present one with headroom;
//   - the regimes that are likely to begin before a change made then would have paid (load.Forecast), for a crowd that
//     follows the night is worth weights before it is there;
//   - those that nearly fill the servers (plan.Problem.Loads), for what fits a quiet hour only fails when something
//     comes that nobody knows. They weigh less where regimes are known, unless experience in the present one speaks
//     for more.
//
// While the present is an emergency it counts more.
func (t *Tuner) demand(p *pool, action learn.Action, problem *plan.Problem) []plan.Demand {
	loads := problem.Loads(1)
	f := t.regimes.Forecast()
	now, _ := f.Now()
	if now < 0 || len(loads) == 0 {
		return loads
	}
	present, out := loads[0], loads[1:]
	crowded := 1 - present.Probability
	likely, stays, known := f.Within(t.params.ForecastSec)
	if known && action == learn.Specific && crowded > t.params.KnownStress {
		for i := range out {
			out[i].Probability *= t.params.KnownStress / crowded
		}
		crowded = t.params.KnownStress
	}
	rest, at := 1-crowded, len(out)
	add := func(demand int, probability float64) {
		d := plan.Demand{Load: present.Load, Probability: rest * probability, RatePerSec: make([]float64, len(p.groups))}
		for g, grp := range p.groups {
			if i := slices.Index(f.Groups, grp.name); i >= 0 {
				d.RatePerSec[g] = f.Demands[demand].RatePerSec[i]
			}
		}
		out = append(out, d)
	}
	add(now, stays)
	for _, l := range likely {
		if l.Probability >= leastLikely {
			add(l.Demand, l.Probability)
		} else {
			out[at].Probability += rest * l.Probability
		}
	}
	return out
}

// leastLikely is the probability below which a regime that may follow is not planned for.
const leastLikely = 0.02

// fresh reports whether a known regime has just begun or is about to end, so that what a change brings will last.
// Methods that go by the requests that servers hold look after a new load by themselves.
func (t *Tuner) fresh(p *pool) bool {
	if !slices.ContainsFunc(p.groups, func(g *group) bool { return !g.method.LoadAware() }) {
		return false
	}
	f := t.regimes.Forecast()
	now, sec := f.Now()
	likely, stays, known := f.Within(t.params.ForecastSec)
	if !known {
		return false
	}
	// Two regimes of a load that is steady to the eye are none to hurry for.
	if sec < t.params.HorizonSec && p.quietSec < t.params.HorizonSec {
		return true
	}
	return stays < 1-soon && slices.ContainsFunc(likely, func(l load.Likely) bool {
		return l.Probability >= leastLikely && t.differ(f.Demands[now], f.Demands[l.Demand])
	})
}

// differ reports whether the rates of two regimes differ by what is news.
func (t *Tuner) differ(a, b load.Demand) bool {
	for g := range a.RatePerSec {
		if apart(t.params, a.RatePerSec[g], b.RatePerSec[g]) {
			return true
		}
	}
	return false
}

// soon is the probability from which a regime that follows is about to begin.
const soon = 0.2

// regime is the identity of the present regime and how long it has lasted; −1: none that is known.
func (t *Tuner) regime() (id int, sec float64) {
	f := t.regimes.Forecast()
	id, sec = f.Now()
	if id >= 0 {
		id = f.Demands[id].ID
	}
	return id, sec
}
