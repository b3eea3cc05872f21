package arena

import (
	"math"
	"slices"

	"trimtab/deathstarbench/worlds"
)

const (
	// returnIntervals are the control intervals after a return that say how well a policy was prepared for it.
	returnIntervals = 3
	// returnVisits are the visits of a regime after which it counts as known.
	returnVisits = 2
	// returnFloor is a tardiness per request, in deadlines, below which nobody notices a difference.
	returnFloor = 1e-3
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

// ReturnART is the tardiness per request over all returns, in deadlines; 0 without requests.
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

// Recurrence is what a policy made of a world in which regimes return.
type Recurrence struct {
	World          string  `json:"world"`
	Policy         string  `json:"policy"`
	Seed           uint64  `json:"seed"`
	Returns        int     `json:"returns"`
	ReturnART      float64 `json:"return_art_per_request"`
	P99MS          float64 `json:"p99_ms"`
	ChangesPerHour float64 `json:"changes_per_h"`
}

// RecurrenceOf sums up a cell.
func RecurrenceOf(r Row, t *Trace, spells []worlds.Regime) Recurrence {
	returns := Returns(t, spells)
	return Recurrence{World: r.Scenario, Policy: r.Policy, Seed: r.Seed, Returns: len(returns),
		ReturnART: ReturnART(returns),
		P99MS:     r.LatencyMS.P99, ChangesPerHour: float64(r.Reloads) / (r.DurationSec / 3600)}
}

// RecurrenceRatio compares two policies over the cells that both played. The ratios are geometric means over worlds
// with intervals by bootstrap over worlds; the ART of returns of both is taken with returnFloor added.
type RecurrenceRatio struct {
	Policy          string   `json:"policy"`
	Baseline        string   `json:"baseline"`
	Worlds          int      `json:"worlds"`
	Returns         int      `json:"returns"`
	ReturnART       Estimate `json:"return_art_ratio"`
	P99             Estimate `json:"p99_ratio"`
	WorstP99        float64  `json:"worst_p99_ratio"`
	WorstWorld      string   `json:"worst_world"`
	ChangesPerHour  float64  `json:"changes_per_h"`
	BaselineChanges float64  `json:"baseline_changes_per_h"`
}

// CompareRecurrences compares a policy with a baseline.
func CompareRecurrences(cells []Recurrence, policy, baseline string) RecurrenceRatio {
	type key struct {
		world string
		seed  uint64
	}
	base := map[key]Recurrence{}
	for _, c := range cells {
		if c.Policy == baseline {
			base[key{c.World, c.Seed}] = c
		}
	}
	out := RecurrenceRatio{Policy: policy, Baseline: baseline}
	var names []string
	art, p99 := map[string][]float64{}, map[string][]float64{}
	pairs := 0.0
	for _, c := range cells {
		b, both := base[key{c.World, c.Seed}]
		if c.Policy != policy || !both || !(c.P99MS > 0) || !(b.P99MS > 0) {
			continue
		}
		names = with(names, c.World)
		art[c.World] = append(art[c.World], math.Log((c.ReturnART+returnFloor)/(b.ReturnART+returnFloor)))
		p99[c.World] = append(p99[c.World], math.Log(c.P99MS/b.P99MS))
		out.Returns += c.Returns
		out.ChangesPerHour += c.ChangesPerHour
		out.BaselineChanges += b.ChangesPerHour
		pairs++
	}
	slices.Sort(names)
	var arts, p99s []float64
	for _, name := range names {
		arts = append(arts, math.Exp(estimate(art[name]).Mean))
		r := math.Exp(estimate(p99[name]).Mean)
		p99s = append(p99s, r)
		if r > out.WorstP99 {
			out.WorstP99, out.WorstWorld = r, name
		}
	}
	out.Worlds = len(names)
	out.ReturnART, out.P99 = bootstrap(arts, bootstrapSeed), bootstrap(p99s, bootstrapSeed)
	if pairs > 0 {
		out.ChangesPerHour /= pairs
		out.BaselineChanges /= pairs
	}
	return out
}
