package testbed

import (
	"strings"
	"testing"

	"trimtab/arena"
)

func TestReportsNameTheObjective(t *testing.T) {
	r := &Report{Scenario: "mesh", Policy: "pursue", Objective: "throughput",
		Before: Part{Objective: &arena.ObjectiveRow{Reward: 20, Held: map[string]float64{"one": 0.4},
			Carried: map[string]float64{"one": 10}, Offered: map[string]float64{"one": 12}}},
		Tuned: Part{Objective: &arena.ObjectiveRow{Reward: 25, Held: map[string]float64{"one": 0.96},
			Carried: map[string]float64{"one": 11}, Offered: map[string]float64{"one": 12}}}}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	table := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"reward of throughput per s 20.00 – 25.00", "bound of one held 40 % – 96 %",
		"one carried 10.0 of 12.0/s – 11.0 of 12.0/s"} {
		if !strings.Contains(table, want) {
			t.Errorf("got\n%s\nwant %q", &b, want)
		}
	}
	fact := func(r *Report) string {
		for _, f := range r.Facts() {
			if f[0] == "Objective" {
				return f[1]
			}
		}
		return ""
	}
	if got, none := fact(r), fact(&Report{}); got != "throughput" || none != "tardiness" {
		t.Errorf("facts: got %q and %q without one, want throughput and tardiness", got, none)
	}
}
