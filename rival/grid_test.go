package rival

import (
	"testing"

	"trimtab/objective"
	"trimtab/tuner/load"
)

func TestGridHasTwentyFiveVectorsForThreeServers(t *testing.T) {
	g, err := NewGrid(GridConfig{Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(g.vectors(3)); got != 25 {
		t.Errorf("distinct vectors over 1, 3, 5 for three servers: got %d, want 25", got)
	}
	if got := len(g.vectors(40)); got == 0 || got > gridMost {
		t.Errorf("vectors for 40 servers: got %d, want 1 to %d", got, gridMost)
	}
}

func TestGridPrefersWhatWasRewarded(t *testing.T) {
	g, err := NewGrid(GridConfig{Seed: 3, Epsilon: 0.05, Regimes: load.RegimeConfig{Observe: -1},
		Groups: map[string]objective.Target{"g": {Deadline: 10e6}}})
	if err != nil {
		t.Fatal(err)
	}
	current := weightsOf(1, 1)
	onGood := 0
	for i := range 400 {
		// Server a answers in 5 ms, b in 50 ms, for a deadline of 10 ms: the more weight for a the better.
		a, b := float64(current["g"]["a"].Weight.Int()), float64(current["g"]["b"].Weight.Int())
		s := sampleOf([3]float64{1200 * a / (a + b), 5, 0}, [3]float64{1200 * b / (a + b), 50, 0})
		if d := step(g, s, current); len(d.Weights) > 0 {
			current = d.Weights
		}
		if i >= 200 && a == 5 && b == 1 {
			onGood++
		}
	}
	if onGood < 150 {
		t.Errorf("weights 5:1 in the last 200 intervals: got %d times, want at least 150", onGood)
	}
}
