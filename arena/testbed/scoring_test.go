package testbed

import (
	"math"
	"testing"
	"time"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/weights"
)

func TestRequestsAreScoredAgainstTheirDeadline(t *testing.T) {
	s := scoring{
		groups:    []arena.GroupResult{{Upstream: "u", Workload: "w"}, {Upstream: "v", Workload: "x"}},
		deadlines: []time.Duration{100 * time.Millisecond, 10 * time.Millisecond},
	}
	for _, c := range []struct {
		sentence string
		request  seen
		want     float64
	}{
		{"in time is no tardiness", seen{latency: 99 * time.Millisecond}, 0},
		{"half a deadline late is 0.5", seen{latency: 150 * time.Millisecond}, 0.5},
		{"each workload has its own deadline", seen{latency: 30 * time.Millisecond, workload: 1}, 2},
		{"a failure counts the same however fast it was", seen{latency: time.Millisecond, failed: true},
			objective.DefaultErrorTardiness},
	} {
		if got := s.tardiness(c.request); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: got %v, want %v", c.sentence, got, c.want)
		}
	}
	r := s.results([]seen{{latency: 150 * time.Millisecond}, {latency: time.Millisecond, failed: true},
		{latency: 30 * time.Millisecond, workload: 1}})
	if r.Requests != 3 || r.Errors != 1 || math.Abs(r.Tardiness-12.5) > 1e-12 {
		t.Errorf("got %d requests, %d errors, tardiness %v, want 3, 1, 12.5", r.Requests, r.Errors, r.Tardiness)
	}
	if len(r.Groups) != 2 || r.Groups[0].Requests != 2 || r.Groups[1].Requests != 1 {
		t.Errorf("got groups %+v, want two of 2 and 1 requests", r.Groups)
	}
}

func TestWithinCutsByDueTime(t *testing.T) {
	all := []seen{{due: 0}, {due: time.Second}, {due: 2 * time.Second}, {due: 2 * time.Second}, {due: 3 * time.Second}}
	for _, c := range []struct {
		sentence string
		in       window
		want     int
	}{
		{"the start belongs to it, the end does not", window{time.Second, 3 * time.Second}, 3},
		{"an empty window holds nothing", window{2 * time.Second, 2 * time.Second}, 0},
		{"a window that ends before it begins holds nothing", window{3 * time.Second, time.Second}, 0},
		{"the whole", window{0, time.Hour}, 5},
	} {
		if got := len(within(all, c.in)); got != c.want {
			t.Errorf("%s: got %d, want %d", c.sentence, got, c.want)
		}
	}
}

func TestVariantTakesMethodAndStartingWeights(t *testing.T) {
	sc, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	three, err := weights.New(3)
	if err != nil {
		t.Fatal(err)
	}
	initial := weights.Set{"compose_backend": {"a": {}, "b": {}, "c": {Weight: three}}}
	got, err := variant(arena.Run{Scenario: sc, Method: deathstarbench.LeastConn, Initial: initial})
	if err != nil {
		t.Fatal(err)
	}
	if u := got.Upstream(deathstarbench.ComposePost); u.Method != deathstarbench.LeastConn || u.Weights[2] != 3 ||
		u.Weights[0] != 1 {
		t.Errorf("got method %s and weights %v, want least_conn and [1 1 3]", u.Method, u.Weights)
	}
	if u := sc.Upstream(deathstarbench.ComposePost); u.Method != deathstarbench.RoundRobin || u.Weights[2] != 1 {
		t.Errorf("the scenario itself was changed: %s %v", u.Method, u.Weights)
	}
	if _, err := variant(arena.Run{Scenario: sc, Method: "least_time"}); err == nil {
		t.Error("got no error for a method that the testbed's NGINX does not have")
	}
}
