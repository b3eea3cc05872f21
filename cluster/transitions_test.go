package cluster

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// steps of regimes, all under one action and without gaps.
func steps(action string, regimes ...int) []Step {
	var s []Step
	for i, r := range regimes {
		s = append(s, Step{Regime: r, Action: action, Follows: i > 0})
	}
	return s
}

func TestTransitions(t *testing.T) {
	history := append(steps("1:1", 0, 0, 1, 0), steps("1:2", 1, 1, 1, 0)...) // the second part follows a gap
	history = append(history, Step{Regime: 2, Action: "1:2", Follows: true, Mixed: true})
	tr := CountTransitions([]string{"low", "high", "odd"}, history, 3*time.Second)
	if tr.All.Total() != 7 || tr.Mixed != 1 || len(tr.Actions) != 2 {
		t.Fatalf("got %d transitions, %d mixed, %d actions, want 7, 1, 2", tr.All.Total(), tr.Mixed, len(tr.Actions))
	}
	one := tr.Actions[0]
	if one.Action != "1:1" || one.Total() != 3 {
		t.Errorf("first action: got %s with %d, want 1:1 with 3", one.Action, one.Total())
	}
	// 0→0, 0→1, 1→0: from 0 a half each, from 1 surely to 0, from 2 never
	if _, p, _ := one.Row(0); p[0] != 0.5 || p[1] != 0.5 {
		t.Errorf("row 0: got %v", p)
	}
	if h := one.Entropy(0); h != 1 {
		t.Errorf("entropy of a fair coin: got %g bits, want 1", h)
	}
	if _, p, seen := one.Row(2); seen || p != nil {
		t.Errorf("row never seen: got %v, want none", p)
	}
	if d, known := one.Dwell(0); !known || d != 2 {
		t.Errorf("dwell of p=½: got %g, want 2 intervals", d)
	}
	if _, known := one.Dwell(2); known {
		t.Error("dwell of a regime never seen is known")
	}
	// π = πP of {½ ½; 1 0} is (2/3, 1/3)
	if pi := one.Stationary(); math.Abs(pi[0]-2.0/3) > 1e-9 || math.Abs(pi[1]-1.0/3) > 1e-9 || pi[2] != 0 {
		t.Errorf("stationary: got %v, want 2/3, 1/3, 0", pi)
	}

	var b strings.Builder
	if err := tr.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1:1,0,low,1,high,1,2,0.5,true\n", "1:1,2,odd,,,0,0,,false\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("CSV lacks %q:\n%s", want, b.String())
		}
	}
	text, err := json.Marshal(tr)
	if err != nil || strings.Contains(b.String()+string(text), "NaN") {
		t.Errorf("JSON: %v %s", err, text)
	}
}

// The stationary distribution of a birth-death chain is known; probabilities of every row sum to 1.
func TestStationary(t *testing.T) {
	// 0→1 with 0.2, 1→0 with 0.1, 1→2 with 0.3, 2→1 with 0.6: detailed balance gives π ∝ (1, 2, 1)
	c := Chain{k: 3, Counts: []int{8, 2, 0, 1, 6, 3, 0, 6, 4}}
	for i, want := range []float64{0.25, 0.5, 0.25} {
		if got := c.Stationary()[i]; math.Abs(got-want) > 1e-9 {
			t.Errorf("regime %d: got %g, want %g", i, got, want)
		}
		_, p, _ := c.Row(i)
		if sum := p[0] + p[1] + p[2]; math.Abs(sum-1) > 1e-15 {
			t.Errorf("row %d sums to %g", i, sum)
		}
	}
	if (Chain{k: 2, Counts: make([]int, 4)}).Stationary() != nil {
		t.Error("stationary distribution of nothing")
	}
}

// Values of scikit-learn 1.2.1: adjusted_rand_score, normalized_mutual_info_score, homogeneity_score,
// completeness_score.
func TestAgree(t *testing.T) {
	for _, c := range []struct {
		clusters, classes []int
		want              Agreement
	}{
		{[]int{0, 0, 1, 1}, []int{5, 5, 3, 3}, Agreement{1, 1, 1, 1, 4}},
		{[]int{0, 0, 1, 2}, []int{0, 0, 1, 1}, Agreement{0.5714285714285714, 0.8, 1, 0.6666666666666666, 4}},
		{[]int{0, 0, 1, 1}, []int{0, 1, 0, 1}, Agreement{-0.5, 0, 0, 0, 4}},
		{[]int{0, 1, 1, 2, 2, 2, 0}, []int{0, 0, 1, 1, 2, 2, 2}, Agreement{-0.05, 0.38009201113242763,
			0.38009201113242763, 0.38009201113242763, 7}},
		{[]int{4, 4, 4}, []int{1, 1, 1}, Agreement{1, 1, 1, 1, 3}},
	} {
		got := Agree(c.clusters, c.classes)
		for _, pair := range [][2]float64{
			{got.AdjustedRand, c.want.AdjustedRand}, {got.NormalisedMutualInformation,
				c.want.NormalisedMutualInformation},
			{got.Homogeneity, c.want.Homogeneity}, {got.Completeness, c.want.Completeness},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 {
				t.Errorf("%v against %v: got %+v, want %+v", c.clusters, c.classes, got, c.want)
				break
			}
		}
	}
}
