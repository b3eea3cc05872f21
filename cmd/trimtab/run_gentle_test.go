package main

import (
	"strings"
	"testing"

	"trimtab/loadgen"
)

func TestRampStopsAtTheKnee(t *testing.T) {
	answers := func(p99, failed func(rate float64) float64) func(float64) (*loadgen.Report, error) {
		return func(rate float64) (*loadgen.Report, error) {
			r := &loadgen.Report{}
			r.Requests, r.Latency.P99 = 1000, p99(rate)
			r.Errors = uint64(1000 * failed(rate))
			r.ErrorKinds, r.ErrorSample = map[string]uint64{"refused": r.Errors}, map[string]string{"refused": "connection refused"}
			return r, nil
		}
	}
	flat := func(v float64) func(float64) float64 { return func(float64) float64 { return v } }
	from := func(knee, before, after float64) func(float64) float64 {
		return func(rate float64) float64 {
			if rate < knee {
				return before
			}
			return after
		}
	}
	for _, c := range []struct {
		name      string
		p99, fail func(float64) float64
		low, high float64
		why       string
		err       string
	}{
		{"answers that get slow end it below the rate at which they do", from(300, 10, 500), flat(0), 187, 300, "the p99 was 500 ms", ""},
		{"failures end it", flat(10), from(300, 0, 0.2), 187, 300, "20 % of the requests failed", ""},
		{"a target that bears all of it ends it at the most", flat(10), flat(0), 2000, 2000, "more was not tried", ""},
		{"slower answers within the slack do not count", from(300, 1, 20), flat(0), 2000, 2000, "more was not tried", ""},
		{"a target that fails from the start is an error", flat(1), flat(1), 0, 0, "", "100 % of the requests fail at 20/s already, for instance: connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := ramp(kneeMost, answers(c.p99, c.fail))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || k.RatePerSec < c.low || k.RatePerSec > c.high || !strings.Contains(k.Why, c.why) {
				t.Errorf("got %v, %v, want a knee from %g to %g and %q", k, err, c.low, c.high, c.why)
			}
		})
	}
}
