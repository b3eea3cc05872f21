package plan

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"trimtab/tuner/estimate"
)

func TestMergedSlotsKeepTheirMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []estimate.Hypothesis
		sum := 0.0
		for i := range rapid.IntRange(1, 14).Draw(t, "slots") {
			q := rapid.Float64Range(0.01, 1).Draw(t, "probability")
			sum += q
			service := []float64{rapid.Float64Range(0.001, 1).Draw(t, "service"),
				rapid.Float64Range(0.001, 1).Draw(t, "other")}
			all = append(all, estimate.Hypothesis{Slots: float64(i + 1), Probability: q, ServiceSec: service,
				Slower: rapid.SampledFrom([]float64{0, 1.2, 8}).Draw(t, "slower")})
		}
		moments := func(x []estimate.Hypothesis) (q, slots, service, slower float64) {
			for _, h := range x {
				q += h.Probability
				slots += h.Probability * math.Log(h.Slots)
				service += h.Probability * math.Log(h.ServiceSec[1])
				slower += h.Probability * math.Log(max(h.Slower, 1))
			}
			return q, slots, service, slower
		}
		q, slots, service, slower := moments(all)
		few := merge(all, quadrature, func(h *estimate.Hypothesis) float64 { return h.ServiceSec[0] / h.Slots })
		if len(few) > quadrature || len(few) < min(len(all), quadrature) {
			t.Fatalf("%d points are left of %d, want %d", len(few), len(all), min(len(all), quadrature))
		}
		a, b, c, d := moments(few)
		if off := math.Abs(a-q) + math.Abs(b-slots) + math.Abs(c-service) + math.Abs(d-slower); off > 1e-9*float64(len(all)) {
			t.Fatalf("probability, mean logs of slots, service and doubt were %v %v %v %v, now they are %v %v %v %v",
				q, slots, service, slower, a, b, c, d)
		}
	})
}

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
