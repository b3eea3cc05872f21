package sim

import (
	"math"
	"testing"
	"time"
)

func TestHeldRequestsWaitAndAreServed(t *testing.T) {
	for _, method := range []Method{RoundRobin, LeastConn, LeastTime} {
		t.Run(string(method), func(t *testing.T) {
			sc := one(2, 4, 100, 0, 0, 30*time.Second)
			sc.Loads[0].Phases[0].Rate = 1e-9
			run, err := New(sc, Options{Seed: 1, Method: method, Held: []Held{
				{Group: "compose_backend", Server: "a0", Requests: 44, Every: 10 * time.Millisecond},
				{Group: "compose_backend", Server: "b0", Requests: 2, Every: 10 * time.Millisecond},
			}})
			if err != nil {
				t.Fatal(err)
			}
			if run.servers[0].busy != 4 || run.servers[0].waiting != 40 || run.servers[1].busy != 2 {
				t.Fatalf("44 requests fill 4 slots, and 40 wait: got %d, %d and %d at the other", run.servers[0].busy,
					run.servers[0].waiting, run.servers[1].busy)
			}
			if _, err := run.Step(); err != nil {
				t.Fatal(err)
			}
			seen := Sum(run.Interval())
			// Ten rounds of 100 ms are left behind those in service, and the youngest came 10 ms ago.
			if seen.Requests != 46 || seen.Latency.Max() < 900*time.Millisecond ||
				seen.Latency.Max() > 1110*time.Millisecond {
				t.Errorf("all are answered within 1.1 s: got %d, the last after %v", seen.Requests, seen.Latency.Max())
			}
			if g := &run.groups[0]; g.peers[0].conns != 0 || g.peers[1].conns != 0 || run.inFlight != 0 {
				t.Errorf("nothing is left active: got %d, %d, %d in flight", g.peers[0].conns, g.peers[1].conns,
					run.inFlight)
			}
			if all := Sum(run.Finish()); all.Requests != 0 {
				t.Errorf("they were begun before the warm-up: got %d in the totals", all.Requests)
			}
		})
	}
}

func TestServiceMetInTheMiddleLastsAsRenewalTheorySays(t *testing.T) {
	// The mean rest of a service time that is met at a random instant is S(1+cv²)/2.
	const mean, cv = 0.1, 0.8
	sc := one(1, 4000, 1000*mean, cv, 0, 30*time.Second)
	sc.Loads[0].Phases[0].Rate = 1e-9
	run, err := New(sc, Options{Seed: 3, Interval: 30 * time.Second, Held: []Held{{Group: "compose_backend",
		Server: "a0", Requests: 4000}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Step(); err != nil {
		t.Fatal(err)
	}
	got, want := Sum(run.Interval()).Latency.Mean().Seconds(), mean*(1+cv*cv)/2
	if math.Abs(got/want-1) > 0.05 {
		t.Errorf("mean rest: got %.4f s, want %.4f", got, want)
	}
}

func TestHeldRequestsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name string
		held Held
	}{
		{"an unknown group", Held{Group: "x", Server: "a0", Requests: 1}},
		{"an unknown server", Held{Group: "compose_backend", Server: "x", Requests: 1}},
		{"fewer than none", Held{Group: "compose_backend", Server: "a0", Requests: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(one(2, 1, 10, 0.5, 10, time.Second), Options{Held: []Held{c.held}}); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestFullQueueHoldsNoMore(t *testing.T) {
	sc := one(1, 1, 10, 0, 10, time.Second)
	sc.Servers[0].QueueLimit = 3
	run, err := New(sc, Options{Held: []Held{{Group: "compose_backend", Server: "a0", Requests: 10}}})
	if err != nil {
		t.Fatal(err)
	}
	if run.inFlight != 4 {
		t.Errorf("one in service and three waiting: got %d", run.inFlight)
	}
}
