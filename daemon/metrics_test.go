package daemon

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/load"
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
	e := &tuner.Explanation{Budget: 4, Regime: load.Regime{Index: 3, Probability: 0.9},
		Pools: []tuner.PoolExplanation{{Groups: []string{"app"}, ART: 0.5, Bounds: []tuner.Bound{tuner.BoundOperator,
			"budget"}}}}
	m.Step(sample("a", "b"), "", control.Outcome{Applied: true, Receipt: control.Receipt{Changed: true, Reloaded: true,
		Took: 100 * time.Millisecond}}, e, time.Millisecond, nil)
	m.Step(sample("b"), "hold file: x exists", control.Outcome{}, e, time.Millisecond, nil)
	m.Step(nil, "", control.Outcome{}, nil, 0, fmt.Errorf("%w: gone", control.ErrTelemetry))
	m.Step(sample("b"), "", control.Outcome{}, e, 0, fmt.Errorf("%w: refused", control.ErrApply))
	m.Step(sample("b"), "", control.Outcome{}, nil, 0, fmt.Errorf("%w: boom", control.ErrInternal))
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
trimtab_step_failures_total{kind="internal"} 1
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

// Whatever a page and a learner say: no panic, a page of metrics that can be read, a series for every server, and no
// number in it that is none.
func TestMetricsOfHostileSamples(t *testing.T) {
	odd := rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]byte("ab\\\"\n\x00\x1b,<\xff\xc3\xa9")), 0, 5).Draw(t, "name"))
	})
	number := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, -1, math.NaN(), math.Inf(1), math.Inf(-1),
		math.MaxFloat64}))
	length := rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64().Draw(t, "ns")) })
	rapid.Check(t, func(t *rapid.T) {
		reg := prometheus.NewPedanticRegistry()
		m := newLoopMetrics(reg)
		for range rapid.IntRange(1, 3).Draw(t, "steps") {
			s := &vts.Sample{At: time.Unix(rapid.Int64().Draw(t, "at"), 0), Interval: length.Draw(t, "interval")}
			e := &tuner.Explanation{Regime: load.Regime{Probability: number.Draw(t, "probability")}}
			series := map[[2]string]bool{}
			for range rapid.IntRange(0, 3).Draw(t, "groups") {
				g := vts.GroupSample{Name: odd.Draw(t, "group")}
				p := tuner.PoolExplanation{Groups: []string{g.Name, odd.Draw(t, "other group")}}
				p.ART, p.MeasuredReward = number.Draw(t, "art"), number.Draw(t, "reward")
				for range rapid.IntRange(0, 3).Draw(t, "servers") {
					server := odd.Draw(t, "server")
					series[[2]string{g.Name, server}] = true
					peer := vts.PeerSample{Server: server, Weight: rapid.Int().Draw(t, "weight"),
						Requests: rapid.Uint64().Draw(t, "requests")}
					g.Peers = append(g.Peers, peer)
					p.Servers = append(p.Servers, tuner.ServerExplanation{Server: server,
						Utilisation: number.Draw(t, "use")})
				}
				s.Groups, e.Pools = append(s.Groups, g), append(e.Pools, p)
			}
			m.Step(s, odd.Draw(t, "held"), control.Outcome{}, e, length.Draw(t, "took"), nil)
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "trimtab_weight" && len(f.GetMetric()) != len(series) {
					t.Fatalf("%d series for %d servers: %v", len(f.GetMetric()), len(series), f)
				}
				for _, one := range f.GetMetric() {
					if v := one.GetGauge().GetValue(); math.IsNaN(v) || math.IsInf(v, 0) {
						t.Fatalf("%s is %v", f.GetName(), v)
					}
				}
			}
			if len(series) > 0 && testutil.CollectAndCount(m.weight.vec) != len(series) {
				t.Fatalf("got %d series of weights, want %d", testutil.CollectAndCount(m.weight.vec), len(series))
			}
		}
	})
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
