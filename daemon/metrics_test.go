package daemon

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/vts"
)

func TestMetricsFollowTheLoop(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newLoopMetrics(reg)
	sample := func(servers ...string) *vts.Sample {
		s := &vts.Sample{At: time.Unix(1000, 0), Interval: 2 * time.Second, Groups: []vts.GroupSample{{Name: "app"}}}
		for i, name := range servers {
			s.Groups[0].Peers = append(s.Groups[0].Peers, vts.PeerSample{Server: name, Weight: i + 2, Requests: 10})
		}
		return s
	}
	e := &tuner.Explanation{Budget: 4, Regime: tuner.RegimeExplanation{Index: 3, Probability: 0.9},
		Pools: []tuner.PoolExplanation{{Groups: []string{"app"}, ART: 0.5, Bounds: []tuner.Bound{tuner.BoundOperator, tuner.BoundBudget}}}}
	m.Step(sample("a", "b"), "", control.Outcome{Applied: true, Receipt: control.Receipt{Changed: true, Reloaded: true, Took: 100 * time.Millisecond}}, e, time.Millisecond, nil)
	m.Step(sample("b"), "hold file: x exists", control.Outcome{}, e, time.Millisecond, nil)
	m.Step(nil, "", control.Outcome{}, nil, 0, fmt.Errorf("%w: gone", control.ErrTelemetry))
	m.Step(sample("b"), "", control.Outcome{}, e, 0, fmt.Errorf("%w: refused", control.ErrApply))
	m.Telemetry(vts.Health{Rejected: map[vts.Reason]uint64{vts.ReasonTimeout: 2}})
	m.Telemetry(vts.Health{Rejected: map[vts.Reason]uint64{vts.ReasonTimeout: 3}})
	want := `
# HELP trimtab_art_per_request Accumulated relative tardiness per request of the last interval.
# TYPE trimtab_art_per_request gauge
trimtab_art_per_request{upstreams="app"} 0.5
# HELP trimtab_bounds_total Times that a limit of the safety gate took effect.
# TYPE trimtab_bounds_total counter
trimtab_bounds_total{bound="budget"} 2
trimtab_bounds_total{bound="operator"} 2
# HELP trimtab_changes_total Changes of weights that were confirmed to be in force.
# TYPE trimtab_changes_total counter
trimtab_changes_total 1
# HELP trimtab_held_total Steps in which changes were held, by the first words of the reason.
# TYPE trimtab_held_total counter
trimtab_held_total{reason="hold file"} 1
# HELP trimtab_reloads_total Reloads of NGINX that were confirmed.
# TYPE trimtab_reloads_total counter
trimtab_reloads_total 1
# HELP trimtab_requests_per_second Finished requests in the last interval.
# TYPE trimtab_requests_per_second gauge
trimtab_requests_per_second{server="b",upstream="app"} 5
# HELP trimtab_step_failures_total Control steps that failed.
# TYPE trimtab_step_failures_total counter
trimtab_step_failures_total{kind="apply"} 1
trimtab_step_failures_total{kind="telemetry"} 1
# HELP trimtab_telemetry_rejected_total Status pages that were not used.
# TYPE trimtab_telemetry_rejected_total counter
trimtab_telemetry_rejected_total{reason="timeout"} 3
# HELP trimtab_weight Weight in force.
# TYPE trimtab_weight gauge
trimtab_weight{server="b",upstream="app"} 2
`
	var names []string
	for line := range strings.Lines(want) {
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if err := errors.Join(lint(reg)...); err != nil {
		t.Error(err)
	}
}

func lint(reg *prometheus.Registry) (errs []error) {
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		return []error{err}
	}
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("%s: %s", p.Metric, p.Text))
	}
	return errs
}
