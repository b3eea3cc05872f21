package arena

import (
	"slices"

	"trimtab/deathstarbench/worlds"
)

const (
	// returnIntervals are the control intervals after a return that say how well a policy was prepared for it.
	returnIntervals = 3
	// returnVisits are the visits of a regime after which it counts as known.
	returnVisits = 2
)

// Return is what the clients saw in the first three control intervals after a known regime of load came back.
type Return struct {
	Regime    string  `json:"regime"`
	AtSec     float64 `json:"at_s"`
	Requests  float64 `json:"requests"`
	Tardiness float64 `json:"tardiness"` // in deadlines
}

// Returns are the returns of known regimes in a trace: the spells of a regime that had come twice before.
func Returns(t *Trace, spells []worlds.Regime) []Return {
	visits := map[string]int{}
	var out []Return
	for _, s := range spells {
		visits[s.Name]++
		if visits[s.Name] <= returnVisits {
			continue
		}
		r := Return{Regime: s.Name, AtSec: s.From.Seconds()}
		first := slices.IndexFunc(t.Points, func(p Point) bool { return p.AtSec > r.AtSec })
		if first < 0 {
			continue
		}
		for _, p := range t.Points[first:min(first+returnIntervals, len(t.Points))] {
			r.Requests += float64(p.Requests)
			r.Tardiness += float64(p.Requests) * p.ARTPerRequest
		}
		out = append(out, r)
	}
	return out
}

// ReturnART is the tardiness per request over all returns, 0 without requests.
func ReturnART(returns []Return) float64 {
	requests, tardiness := 0.0, 0.0
	for _, r := range returns {
		requests += r.Requests
		tardiness += r.Tardiness
	}
	if requests == 0 {
		return 0
	}
	return tardiness / requests
}
