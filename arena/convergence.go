package arena

import (
	"slices"

	"trimtab/deathstarbench"
)

// convergenceWindow is over how many control intervals the gap to the oracle must be closed.
const convergenceWindow = 3

// intervalsTo90Pct returns after how many control intervals of the scenario's first phase nine tenths of the gap in
// ART per request between equal weights and the oracle were closed, each in the mean over the same three intervals.
// The three courses belong to one block, so that interval by interval the same requests are compared. ok is false when
// it never was, or when the gap is too small to speak of: its median below 0.02, or below a tenth of what equal weights
// have.
func intervalsTo90Pct(sc *deathstarbench.Scenario, policy, equal, oracle *Trace) (n int, ok bool) {
	if equal == nil || oracle == nil {
		return 0, false
	}
	end := Phases(sc)[0].To.Seconds()
	length := 0
	for length < min(len(policy.Points), len(equal.Points), len(oracle.Points)) && policy.Points[length].AtSec <= end {
		length++
	}
	if length < convergenceWindow {
		return 0, false
	}
	over := func(t *Trace) []float64 {
		x := make([]float64, length)
		for i := range x {
			x[i] = t.Points[i].ARTPerRequest - oracle.Points[i].ARTPerRequest
		}
		return x
	}
	sorted := over(equal)
	slices.Sort(sorted)
	gap := sorted[len(sorted)/2]
	level := make([]float64, length)
	for i := range level {
		level[i] = equal.Points[i].ARTPerRequest
	}
	slices.Sort(level)
	if gap < 0.02 || gap < 0.1*level[len(level)/2] {
		return 0, false
	}
	x, e := over(policy), over(equal)
	for k := 0; k+convergenceWindow <= length; k++ {
		mine, theirs := 0.0, 0.0
		for i := k; i < k+convergenceWindow; i++ {
			mine += x[i]
			theirs += e[i]
		}
		if theirs >= 0.02*convergenceWindow && mine <= 0.1*theirs {
			return k, true
		}
	}
	return 0, false
}
