package daemon

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trimtab/control"
)

func TestMetricsNameTheObjectiveAndHowOftenItsBoundsHeld(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newObjectiveMetrics(reg)
	for i := range 4 {
		m.take(&control.ObjectiveExplanation{Kind: "throughput", Reward: float64(10 + i),
			Services: map[string]control.ServiceExplanation{"a": {BoundMS: 35, Held: i > 0}, "b": {BoundMS: 110},
				"free": {}},
			Levels: control.Levels{Blocked: map[string]float64{"b": 0.25}, Capacity: map[string]int{"s": 2 + i}}})
	}
	want := `
# HELP trimtab_admission_blocked_ratio Part of the upstream's requests that admission refuses.
# TYPE trimtab_admission_blocked_ratio gauge
trimtab_admission_blocked_ratio{upstream="a"} 0
trimtab_admission_blocked_ratio{upstream="b"} 0.25
trimtab_admission_blocked_ratio{upstream="free"} 0
# HELP trimtab_objective_held_intervals_total Intervals in which the bound of the upstream held.
# TYPE trimtab_objective_held_intervals_total counter
trimtab_objective_held_intervals_total{objective="throughput",upstream="a"} 3
trimtab_objective_held_intervals_total{objective="throughput",upstream="b"} 0
# HELP trimtab_objective_intervals_total Intervals in which the bound of the upstream was judged.
# TYPE trimtab_objective_intervals_total counter
trimtab_objective_intervals_total{objective="throughput",upstream="a"} 4
trimtab_objective_intervals_total{objective="throughput",upstream="b"} 4
# HELP trimtab_objective_reward_per_second Reward of the last interval by the objective that is pursued.
# TYPE trimtab_objective_reward_per_second gauge
trimtab_objective_reward_per_second{objective="throughput"} 13
# HELP trimtab_scaling_units Units of capacity that the server has by the objective's decisions.
# TYPE trimtab_scaling_units gauge
trimtab_scaling_units{server="s"} 5
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	m.take(nil)
	if n, err := testutil.GatherAndCount(reg, "trimtab_objective_reward_per_second",
		"trimtab_admission_blocked_ratio"); err != nil || n != 0 {
		t.Errorf("without an objective: %d series, %v", n, err)
	}
}
