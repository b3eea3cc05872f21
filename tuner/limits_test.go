package tuner_test

import (
	"fmt"
	"testing"

	"trimtab/tuner"
	"trimtab/weights"
)

// A world whose best shares are 1:2:4: what limits ask for is kept by every change, and reached without a gain to
// expect from it.
func TestSharesStayWithinTheirLimits(t *testing.T) {
	const least = 0.01 // what whole weights may miss
	for _, c := range []struct {
		name   string
		limits weights.GroupLimits
		want   map[string][2]float64 // shares at the end
	}{
		{"a canary keeps 5 %", weights.GroupLimits{Servers: map[string]weights.Limits{"c": {Min: 0.05, Max: 0.05}}},
			map[string][2]float64{"c": {0.05, 0.05}}},
		{"nobody has more than 45 %", weights.GroupLimits{Each: weights.Limits{Max: 0.45}},
			map[string][2]float64{"a": {0, 0.45}, "b": {0, 0.45}, "c": {0, 0.45}}},
		{"the slowest has at least 30 %", weights.GroupLimits{Servers: map[string]weights.Limits{"a": {Min: 0.3}}},
			map[string][2]float64{"a": {0.3, 1}}},
		{"a server that is not tuned keeps the operator's share", weights.GroupLimits{Keep: map[string]bool{"b": true}},
			map[string][2]float64{"b": {1. / 3, 1. / 3}}},
		{"limits that nobody can keep are kept as far as they can be", weights.GroupLimits{Each: weights.Limits{Min: 0.5}},
			map[string][2]float64{"a": {1. / 3, 1. / 3}, "b": {1. / 3, 1. / 3}, "c": {1. / 3, 1. / 3}}},
	} {
		for _, method := range []string{"round_robin", "least_conn"} {
			t.Run(fmt.Sprintf("%s, %s", c.name, method), func(t *testing.T) {
				t.Parallel()
				sc := scenario(t, "capacity-1-2-4")
				for i := range sc.Loads {
					for j := range sc.Loads[i].Phases {
						sc.Loads[i].Phases[j].Rate /= 3 // so that limits cost little: nobody is overloaded
					}
				}
				sc.Duration = ms(180e3)
				w := newWorld(t, sc, 1, method)
				rows := run(t, w, tunerFor(t, sc, method, func(cfg *tuner.Config) {
					for name, g := range cfg.Groups {
						g.Limits = c.limits
						cfg.Groups[name] = g
					}
				}))
				for _, iv := range rows[3:] { // the first change is in force by then
					for group, servers := range iv.weights {
						sum := 0
						for _, s := range servers {
							sum += s.Weight
						}
						for server, want := range c.want {
							share := float64(servers[server].Weight) / float64(sum)
							if share < want[0]-least || share > want[1]+least {
								t.Errorf("after %s: server %s of %s has %.3f, want %.3f to %.3f (%v)", iv.end, server,
									group,
									share, want[0], want[1], servers)
							}
						}
					}
				}
				if len(w.changes) > 12 {
					t.Errorf("%d changes: limits are not to be sought again and again", len(w.changes))
				}
			})
		}
	}
}

func TestLimitsAreValidated(t *testing.T) {
	for _, l := range []weights.GroupLimits{{Each: weights.Limits{Min: 2}},
		{Servers: map[string]weights.Limits{"a": {Min: 0.5, Max: 0.1}}}} {
		if _, err := tuner.New(tuner.Config{Groups: map[string]tuner.GroupConfig{"g": {Limits: l}}}); err == nil {
			t.Errorf("%+v: got no error", l)
		}
	}
}
