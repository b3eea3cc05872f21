package arena

import (
	"slices"
	"testing"

	"trimtab/deathstarbench"
)

func TestRegimesAreNumberedByTheirLoad(t *testing.T) {
	fault := []deathstarbench.Fault{{Server: "a", Kind: deathstarbench.Slowdown, Factor: 2}}
	for _, c := range []struct {
		sentence string
		phases   []Phase
		want     []int
	}{
		{"a load that comes back is the regime that it was", []Phase{{Rates: []float64{10, 5}},
			{Rates: []float64{50, 5}}, {Rates: []float64{10, 5}}}, []int{0, 1, 0}},
		{"a fault is no regime", []Phase{{Rates: []float64{10}}, {Rates: []float64{10}, Faults: fault}}, []int{0, 0}},
		{"rates within a tenth are alike", []Phase{{Rates: []float64{100}}, {Rates: []float64{105}},
			{Rates: []float64{120}}}, []int{0, 0, 1}},
	} {
		if got := regimesOf(c.phases); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.sentence, got, c.want)
		}
	}
}
