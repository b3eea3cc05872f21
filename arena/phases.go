package arena

import (
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// Phase is a part of a scenario in which rates and faults stay the same.
type Phase struct {
	From, To time.Duration
	Rates    []float64              // requests per second, by load
	Faults   []deathstarbench.Fault // those in force
}

// Phases cuts a scenario where a rate changes or a fault begins or ends.
func Phases(sc *deathstarbench.Scenario) []Phase {
	end := sc.Duration.Std()
	cuts := []time.Duration{0}
	for _, l := range sc.Loads {
		for _, p := range l.Phases {
			cuts = append(cuts, p.At.Std())
		}
	}
	for _, f := range sc.Faults {
		cuts = append(cuts, f.At.Std(), f.Until.Std())
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	cuts = slices.DeleteFunc(cuts, func(t time.Duration) bool { return t < 0 || t >= end })
	out := make([]Phase, len(cuts))
	for i, from := range cuts {
		to := end
		if i+1 < len(cuts) {
			to = cuts[i+1]
		}
		p := Phase{From: from, To: to}
		for j := range sc.Loads {
			p.Rates = append(p.Rates, sc.Loads[j].RateAt(from))
		}
		for _, f := range sc.Faults {
			if f.At.Std() <= from && (f.Until == 0 || f.Until.Std() >= to) {
				p.Faults = append(p.Faults, f)
			}
		}
		out[i] = p
	}
	return out
}

// steady returns the scenario that holds the phase for the given time.
func (p Phase) steady(sc *deathstarbench.Scenario, duration, warmup time.Duration) *deathstarbench.Scenario {
	s := *sc
	s.Duration, s.Warmup = deathstarbench.Duration(duration), deathstarbench.Duration(warmup)
	s.Loads = slices.Clone(sc.Loads)
	for i := range s.Loads {
		s.Loads[i].Phases = []deathstarbench.Phase{{Rate: p.Rates[i]}}
	}
	s.Faults = slices.Clone(p.Faults)
	for i := range s.Faults {
		s.Faults[i].At, s.Faults[i].Until = 0, s.Duration
	}
	return &s
}

// regimesOf numbers the load regimes of phases from 0 in the order of their first appearance: phases whose rates are
// alike belong to one, whatever the faults.
func regimesOf(phases []Phase) []int {
	var firsts []Phase
	out := make([]int, len(phases))
	for i, p := range phases {
		p.Faults = nil
		out[i] = slices.IndexFunc(firsts, p.like)
		if out[i] < 0 {
			out[i] = len(firsts)
			firsts = append(firsts, p)
		}
	}
	return out
}

// like reports whether the same weights may serve both phases: every rate within 10 %, the same faults.
func (p Phase) like(o Phase) bool {
	for i, r := range p.Rates {
		if r > 1.1*o.Rates[i] || o.Rates[i] > 1.1*r {
			return false
		}
	}
	return slices.EqualFunc(p.Faults, o.Faults, func(a, b deathstarbench.Fault) bool {
		a.At, a.Until, b.At, b.Until = 0, 0, 0, 0
		return a == b
	})
}
