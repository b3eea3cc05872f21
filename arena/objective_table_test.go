package arena

import (
	"strings"
	"testing"
)

func TestTablesNameTheObjectiveAndHowOftenBoundsHeld(t *testing.T) {
	half, nine := 0.5, 0.9
	row := func(policy string, seed uint64, share *float64, held float64) Row {
		return Row{Scenario: "mesh", Policy: policy, World: "sim", Seed: seed, Requests: 10,
			Objective: &ObjectiveRow{Kind: "throughput",
				Reward: 20 * held, ShareOfOptimal: share, Held: map[string]float64{"one": held, "two": 1}, Capacity: 3,
				HeldWhereOptimal: map[string]float64{"two": held}, Carried: map[string]float64{"one": 7, "two": 9}}}
	}
	rows := []Row{row("pursue", 1, &half, 0.6), row("pursue", 2, &nine, 0.8), row("equal", 1, nil, 0.1),
		{Scenario: "plain", Policy: "equal", Requests: 1}}
	var b strings.Builder
	if err := WriteTable(&b, Summarise(rows, "equal"), "equal"); err != nil {
		t.Fatal(err)
	}
	_, objectives, found := strings.Cut(b.String(), "mesh: throughput")
	if !found {
		t.Fatalf("the objective is not named:\n%s", &b)
	}
	words := strings.Join(strings.Fields(objectives), " ")
	for _, want := range []string{"reward/s ÷ optimal units one carried/s held where optimal two carried/s held " +
		"where optimal",
		"pursue 14.000 0.700 3.00 7.00 70 % – 9.00 100 % 70 %", "equal 2.000 – 3.00 7.00 10 % – 9.00 100 %"} {
		if !strings.Contains(words, want) {
			t.Errorf("got\n%s\nwant %q", objectives, want)
		}
	}
	if strings.Contains(objectives, "plain") {
		t.Errorf("a scenario without an objective is among them:\n%s", objectives)
	}
}
