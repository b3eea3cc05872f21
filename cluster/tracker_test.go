package cluster

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"trimtab/vts"
)

// twoRegimes fits a model to an hour that alternates between two loads.
func twoRegimes(t testing.TB, c Covariance) (*Model, func(compose, home float64) vts.Sample) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	now := noon
	draw := func(compose, home float64) vts.Sample {
		now = now.Add(3 * time.Second)
		noise := func(rate float64) uint64 { return uint64(max(0, 3*rate+math.Sqrt(3*rate)*rng.NormFloat64())) }
		return sampleOf(now, 3*time.Second, noise(compose), noise(home))
	}
	collector := NewCollector(LoadFeatures)
	for i := range 600 {
		s := draw(400, 50)
		if i/60%2 == 1 {
			s = draw(40, 500)
		}
		if err := collector.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	m, err := collector.Fit(t.Context(), Settings{K: 2, Covariance: c})
	if err != nil {
		t.Fatal(err)
	}
	return m, draw
}

// Regimes are numbered by rising rate and named by the level of each group.
func TestLabels(t *testing.T) {
	m, _ := twoRegimes(t, Full)
	for k, want := range []string{"compose HIGH (10 % errors) · home LOW", "compose LOW (10 % errors) · home HIGH"} {
		if got := m.Regimes[k].Label; got != want {
			t.Errorf("regime %d: got %s, want %s", k, got, want)
		}
	}
	rates := m.GroupRates()
	if math.Abs(rates[0][0]-400) > 10 || math.Abs(rates[1][1]-500) > 10 {
		t.Errorf("rates: got %v, want about 400 and 500", rates)
	}
}

// The load that a model knows is found again with certainty and is not novel; one that it has never seen is.
func TestTrackerKnowsAndDoubts(t *testing.T) {
	for _, c := range []Covariance{Full, Diag, Tied, Spherical} {
		m, draw := twoRegimes(t, c)
		tracker, err := NewTracker(m, TrackerSettings{Window: 20, Memory: -1})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			s := draw(400, 50)
			if i%2 == 1 {
				s = draw(40, 500)
			}
			a, err := tracker.Track(&s)
			if err != nil {
				t.Fatal(err)
			}
			if a.Regime != i%2 || a.Probability < 0.999 {
				t.Errorf("%s, interval %d: got regime %d with probability %g", c, i, a.Regime, a.Probability)
			}
		}
		limit := 0.1
		if c == Spherical {
			limit = 0.25 // one variance for all features fits them badly
		}
		if share := tracker.NovelShare(); share > limit || tracker.Recalibrate() {
			t.Errorf("%s: known load: %.0f %% novel", c, 100*share)
		}
		for range 10 {
			s := draw(2000, 2000)
			if a, _ := tracker.Track(&s); !a.Novel {
				t.Errorf("%s: five times the load is not novel: %+v", c, a)
			}
		}
		if !tracker.Recalibrate() {
			t.Errorf("%s: half of the window is novel (%.0f %%) and no new observation period is asked for", c,
				100*tracker.NovelShare())
		}
	}
}

// A load that drifts slowly is followed: the regime's mean moves with it, the other regime stays as it was, and the
// parameters stay a mixture. Without memory the drifted load ends up novel.
func TestTrackerFollowsDrift(t *testing.T) {
	for _, c := range []Covariance{Full, Diag, Tied, Spherical} {
		m, draw := twoRegimes(t, c)
		before := append([]float64(nil), m.Mixture.Mean(1)...)
		tracker, err := NewTracker(m, TrackerSettings{Window: 50, Memory: 60})
		if err != nil {
			t.Fatal(err)
		}
		rate := 400.0
		for range 1500 {
			rate *= 1.0003 // by half in the end
			s := draw(rate, 50)
			if _, err := tracker.Track(&s); err != nil {
				t.Fatal(err)
			}
		}
		if err := tracker.Err(); err != nil {
			t.Fatal(err)
		}
		if err := m.Mixture.Validate(); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if got := m.GroupRates()[0][0]; math.Abs(got-rate) > 0.08*rate {
			t.Errorf("%s: rate of the regime: got %.0f, want about %.0f", c, got, rate)
		}
		if share := tracker.NovelShare(); share > 0.15 {
			t.Errorf("%s: %.0f %% of the drifted load is novel", c, 100*share)
		}
		for j, v := range m.Mixture.Mean(1) {
			if math.Abs(v-before[j]) > 1e-6 {
				t.Errorf("%s: feature %d of the regime not visited moved from %g to %g", c, j, before[j], v)
			}
		}
	}
}

// Tracking an interval does not allocate, apart from the refresh now and then.
func TestTrackAllocations(t *testing.T) {
	m, draw := twoRegimes(t, Full)
	tracker, err := NewTracker(m, TrackerSettings{Refresh: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	s := draw(400, 50)
	if n := testing.AllocsPerRun(100, func() { _, _ = tracker.Track(&s) }); n != 0 {
		t.Errorf("%g allocations per interval, want 0", n)
	}
}
