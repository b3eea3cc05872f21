package sim

import (
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

// troubled is a scenario of two servers that answer in 20 ms, one of which has the fault from 20 s to 30 s of 50 s.
func troubled(f deathstarbench.Fault) *deathstarbench.Scenario {
	sc := one(2, 50, 20, 0, 200, 50*time.Second)
	sc.ControlInterval = ms(10000)
	f.Server, f.At, f.Until = sc.Servers[0].Name, ms(20000), ms(30000)
	sc.Faults = []deathstarbench.Fault{f}
	return sc
}

func TestPauseStopsServicesInProgress(t *testing.T) {
	sc := one(1, 100, 1000, 0, 10, 40*time.Second)
	sc.ControlInterval = ms(1000)
	sc.Faults = []deathstarbench.Fault{{Server: "a0", Kind: deathstarbench.Pause, At: ms(20000), Until: ms(22000)}}
	seen, run := samples(t, sc, Options{Seed: 1})
	if a, b := seen[20].Groups[0].Requests(), seen[21].Groups[0].Requests(); a+b != 0 {
		t.Errorf("nothing ends during the pause: got %d and %d", a, b)
	}
	all := Sum(run.Finish())
	if got := all.Latency.Max(); got < 2990*time.Millisecond || got > 3010*time.Millisecond {
		t.Errorf("a service of 1 s takes the 2 s of the pause longer, and no more: got %s", got)
	}
	if got := all.Latency.Quantile(0.5); got < 990*time.Millisecond || got > 1010*time.Millisecond || all.Errors != 0 {
		t.Errorf("others take 1 s, and none fails: got median %s, %d errors", got, all.Errors)
	}
}

func TestNothingBeginsDuringAPause(t *testing.T) {
	sc := one(1, 4, 10, 0, 100, 40*time.Second)
	sc.Servers[0].QueueLimit = 150
	sc.Faults = []deathstarbench.Fault{
		{Server: "a0", Kind: deathstarbench.Pause, At: ms(20000), Until: ms(22000)},
		{Server: "a0", Kind: deathstarbench.Capacity, Slots: 2, At: ms(21000), Until: ms(25000)}, // ends no pause
	}
	run := play(t, sc, Options{Seed: 1})
	all := Sum(run.Totals())
	// Of the 200 that come in 2 s, 150 wait and the others are refused; 150 then take 0.75 s in two slots.
	if all.Errors < 20 || all.Errors > 80 {
		t.Errorf("the queue takes 150: got %d refused, want about 50", all.Errors)
	}
	if got := all.Latency.Max(); got < 1900*time.Millisecond || got > 2800*time.Millisecond {
		t.Errorf("those that waited: got at most %s", got)
	}
	open := one(1, 1, 10, 0, 10, 10*time.Second)
	open.Faults = []deathstarbench.Fault{{Server: "a0", Kind: deathstarbench.Pause, At: ms(5000)}}
	got := Sum(play(t, open, Options{Seed: 1, Timeout: -1}).Totals())
	if got.Errors != 0 || got.Latency.Max() < 4*time.Second {
		t.Errorf("a pause without an end lasts to that of the run: got %d errors, at most %s", got.Errors,
			got.Latency.Max())
	}
}

func TestHangIsCountedAsTheModuleCountsIt(t *testing.T) {
	sc := troubled(deathstarbench.Fault{Kind: deathstarbench.Hang, Probability: 0.5})
	sc.Timeout = ms(5000)
	seen, run := samples(t, sc, Options{Seed: 2, Method: RoundRobin})
	hung := uint64(0)
	for i, s := range seen {
		a, b := s.Groups[0].Peers[0], s.Groups[0].Peers[1]
		if b.Responses[3] != 0 {
			t.Errorf("interval %d: the other server has %d × 4xx", i, b.Responses[3])
		}
		n := a.Responses[3]
		hung += n
		answered := 21 * (a.Requests - n)
		if a.ResponseMsec > answered || a.RequestMsec < 5000*n || a.RequestMsec > 5000*n+answered {
			t.Errorf("interval %d: %d of %d gave up: got %d ms of responses and %d ms of requests, want 0 and "+
				"5000 for each",
				i, n, a.Requests, a.ResponseMsec, a.RequestMsec)
		}
	}
	// 100 requests per second for 10 s, half of them hang; who hangs gives up after 5 s.
	if hung < 430 || hung > 570 {
		t.Errorf("got %d that gave up, want about 500", hung)
	}
	all := Sum(run.Finish())
	if all.Errors != hung || run.hanging != 0 || all.Latency.Max() > 5001*time.Millisecond {
		t.Errorf("got %d errors for %d, %d left, at most %s", all.Errors, hung, run.hanging, all.Latency.Max())
	}
}

// A server that hangs looks busy to least_conn, and its slots are free all the same.
func TestHangHoldsConnectionsButNoSlot(t *testing.T) {
	sc := troubled(deathstarbench.Fault{Kind: deathstarbench.Hang, Probability: 1})
	sc.Timeout = ms(5000)
	fair := Sum(play(t, sc, Options{Seed: 2, Method: RoundRobin}).Totals())
	shy := Sum(play(t, sc, Options{Seed: 2, Method: LeastConn}).Totals())
	if fair.Errors < 900 || shy.Errors > 40 {
		t.Errorf("got %d errors in round robin, %d with least_conn: want about 1000 and a few", fair.Errors, shy.Errors)
	}
	if busy := play(t, sc, Options{Seed: 2, Method: RoundRobin}).servers[0].busy; busy != 0 {
		t.Errorf("got %d slots held", busy)
	}
	if _, err := New(sc, Options{Timeout: -1}); err == nil {
		t.Error("clients that never give up: got no error")
	}
}

func TestWhatHangsIsCutWhenTheServerGoesDown(t *testing.T) {
	for _, c := range []struct {
		name     string
		workload string
		lost     bool
	}{
		{"a POST is lost", deathstarbench.ComposePost, true},
		{"a GET goes to another server", deathstarbench.ReadHomeTimeline, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := troubled(deathstarbench.Fault{Kind: deathstarbench.Hang, Probability: 1})
			sc.Upstreams[0].Workload, sc.Loads[0].Workload = c.workload, c.workload
			for i := range sc.Servers {
				sc.Servers[i].Service = map[string]deathstarbench.Duration{c.workload: ms(20)}
			}
			down := deathstarbench.Fault{Server: "a0", Kind: deathstarbench.Down, At: ms(25000), Until: ms(40000)}
			sc.Faults = append(sc.Faults, down)
			all := Sum(play(t, sc, Options{Seed: 2, Method: RoundRobin}).Totals())
			if lost := all.Errors > 400; lost != c.lost || all.Latency.Max() > 6*time.Second {
				t.Errorf("500 hang for at most 5 s: got %d errors, at most %s", all.Errors, all.Latency.Max())
			}
		})
	}
}

func TestShedLooksFast(t *testing.T) {
	sc := troubled(deathstarbench.Fault{Kind: deathstarbench.Shed, Probability: 0.4, Latency: ms(1)})
	seen, run := samples(t, sc, Options{Seed: 2, Method: RoundRobin})
	p := seen[2].Groups[0].Peers[0]
	if share := float64(p.Responses[3]) / float64(p.Requests); math.Abs(share-0.4) > 0.06 || p.Responses[4] != 0 {
		t.Errorf("got a share of %.2f 4xx and %d 5xx, want 0.4 and none", share, p.Responses[4])
	}
	if want := 0.4*1 + 0.6*20; math.Abs(mean(p)-want) > 1.2 {
		t.Errorf("got a mean response time of %.1f ms, want %.1f", mean(p), want)
	}
	if all := Sum(run.Finish()); all.Errors != p.Responses[3] {
		t.Errorf("a 429 is an error of the client: got %d for %d", all.Errors, p.Responses[3])
	}
}
