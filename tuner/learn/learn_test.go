package learn

import (
	"math"
	"testing"
)

func TestARegimeLearnsWhichActionPays(t *testing.T) {
	for _, c := range []struct {
		name              string
		specific, general float64 // rewards
		want              Action
	}{
		{"the specific plan costs less", 0.2, -0.2, Specific},
		{"the general plan costs less", -0.2, 0.2, General},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, taken := NewRegime(), map[Action]int{}
			if first := r.Choose(); first != Specific {
				t.Fatalf("got %s first, want what is usual", first)
			}
			for range 20 {
				a := r.Choose()
				taken[a]++
				reward := c.specific
				if a == General {
					reward = c.general
				}
				r.Learn(a, reward)
			}
			if taken[c.want] < 15 {
				t.Errorf("got %v of 20 visits, want at least 15 %s", taken, c.want)
			}
			if r.Choose() != c.want {
				t.Errorf("got %s in the end, want %s", r.Choose(), c.want)
			}
		})
	}
}

func TestTheCorrectionIsTheModelsError(t *testing.T) {
	r := NewRegime()
	for range 30 {
		r.Learn(Specific, -math.Log(2))
	}
	r.Learn(Specific, math.NaN())
	if got := math.Exp(r.Correction); math.Abs(got-2) > 1e-9 || r.Visits != 30 {
		t.Errorf("got a factor of %v after %v visits, want 2 after 30: what is no number teaches nothing", got, r.Visits)
	}
	if !r.Valid() || (&Regime{}).Valid() {
		t.Error("what was learned is valid, what has no cells is not")
	}
}
