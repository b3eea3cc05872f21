package plan

import (
	"math"
	"testing"

	"trimtab/tuner/estimate"
)

// TestALargePoolIsPlannedAsASmallOne: fifty times the same three servers of which the slots are not known, with fifty
// times the load.
func TestALargePoolIsPlannedAsASmallOne(t *testing.T) {
	const times = 50
	unsure := func(service float64) estimate.Belief {
		b := known(2, service)
		b.Slots = nil
		for i, slots := range []float64{2, 3, 4, 6, 8, 16, 32, 64} {
			b.Slots = append(b.Slots, estimate.Hypothesis{Slots: slots,
				Probability: []float64{3, 4, 3, 2, 2, 2, 2, 2}[i] / 20, ServiceSec: []float64{service}})
		}
		return b
	}
	for _, use := range []float64{0.3, 0.7, 0.95} {
		trio := []estimate.Belief{unsure(0.02), unsure(0.03), unsure(0.06)}
		small := problem(LeastConn, use, trio...)
		var many []estimate.Belief
		for range times {
			many = append(many, trio...)
		}
		large := problem(LeastConn, use, many...)
		want := small.Cost(small.Solve(small.Proportional())) + math.Log(times)
		start, got := large.Cost(large.Proportional()), large.Cost(large.Solve(large.Proportional()))
		if got > want+0.02 {
			t.Errorf("at %.0f %%: %d servers cost %.4f, %.4f in proportion; in pools of 3 %.4f, want at most 2 %% above it",
				100*use, len(many), got, start, want)
		}
	}
}
