package sim

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/vts"
)

// samples plays a scenario and returns what the poller would have seen, interval by interval.
func samples(t *testing.T, sc *deathstarbench.Scenario, o Options) (out []vts.Sample, run *Sim) {
	t.Helper()
	run, err := New(sc, o)
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		s, err := run.Step()
		if err != nil && !errors.Is(err, ErrPollLost) {
			t.Fatal(err)
		}
		if err == nil {
			out = append(out, s)
		}
	}
	return out, run
}

func TestSeedDecidesAll(t *testing.T) {
	sc := one(3, 2, 20, 0.5, 200, 30*time.Second)
	a, _ := samples(t, sc, Options{Seed: 5})
	b, _ := samples(t, sc, Options{Seed: 5})
	c, _ := samples(t, sc, Options{Seed: 6})
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gives the same samples: got others")
	}
	if reflect.DeepEqual(a, c) {
		t.Error("another seed gives other samples: got the same")
	}
}

func TestCommonRandomNumbers(t *testing.T) {
	// With a slot for everyone latencies are service times: on equal servers no method can change any of them.
	sc := one(3, 1000, 20, 0.5, 200, 30*time.Second)
	a, b := play(t, sc, Options{Seed: 5, Method: RoundRobin}), play(t, sc, Options{Seed: 5, Method: RandomTwo})
	if x, y := Sum(a.Totals()), Sum(b.Totals()); x.Latency != y.Latency {
		t.Errorf("the n-th request has the same size whoever serves it: got means %v and %v", x.Latency.Mean(),
			y.Latency.Mean())
	}
}

func TestSamplesCountEveryAnswer(t *testing.T) {
	sc := one(3, 2, 20, 0.5, 200, 60*time.Second)
	sc.Servers[1].QueueLimit = 3
	sc.Faults = []deathstarbench.Fault{
		{Server: sc.Servers[0].Name, Kind: deathstarbench.Error, Probability: 0.3, Latency: ms(2), At: ms(5000),
			Until: ms(20000)},
		{Server: sc.Servers[2].Name, Kind: deathstarbench.Down, At: ms(30000), Until: ms(45000)},
	}
	seen, run := samples(t, sc, Options{Seed: 3, PassedOnUncounted: true})
	var requests, errs, buckets uint64
	for _, s := range seen {
		for _, p := range s.Groups[0].Peers {
			requests += p.Requests
			errs += p.Responses.Errors()
			if n := len(p.Buckets); n > 0 {
				buckets += p.Buckets[n-1]
			}
			sum := uint64(0)
			for _, r := range p.Responses {
				sum += r
			}
			if sum != p.Requests || p.Known != (p.Requests > 0) {
				t.Fatalf("classes add up to the requests: got %d of %d, known %v", sum, p.Requests, p.Known)
			}
		}
	}
	inFlight := run.inFlight
	total := Sum(run.Finish())
	if requests+inFlight != run.Requests() || total.Requests != run.Requests() {
		t.Errorf("every request is counted once: got %d in samples and %d at clients of %d, %d in flight", requests,
			total.Requests, run.Requests(), inFlight)
	}
	if buckets != requests {
		t.Errorf("no answer took longer than the last bound: got %d of %d in buckets", buckets, requests)
	}
	if errs == 0 || total.Errors < errs {
		t.Errorf("errors reach clients: got %d in samples, %d at clients", errs, total.Errors)
	}
}

func TestWholeMilliseconds(t *testing.T) {
	// Constant 0.4 ms: NGINX's clock sees 0 or 1 ms, 0.4 ms in the mean.
	seen, _ := samples(t, one(1, 100, 0.4, 0, 1000, 30*time.Second), Options{Seed: 1})
	var n, sum float64
	for _, s := range seen {
		n += float64(s.Groups[0].Peers[0].Requests)
		sum += float64(s.Groups[0].Peers[0].ResponseMsec)
	}
	if mean := sum / n; math.Abs(mean-0.4) > 0.02 {
		t.Errorf("mean of whole milliseconds: got %.3f, want 0.4", mean)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		about string
		fault deathstarbench.Fault
		check func(before, during, after vts.PeerSample) bool
	}{
		{"a slowdown by 3 triples the response time", deathstarbench.Fault{Kind: deathstarbench.Slowdown, Factor: 3},
			func(b, d, a vts.PeerSample) bool {
				return near(d, 3*mean(b)) && near(a, mean(b))
			}},
		{"a network delay of 50 ms is added", deathstarbench.Fault{Kind: deathstarbench.NetworkDelay, Delay: ms(50)},
			func(b, d, a vts.PeerSample) bool { return near(d, mean(b)+50) && near(a, mean(b)) }},
		{"half of the requests fail", deathstarbench.Fault{Kind: deathstarbench.Error, Probability: 0.5,
			Latency: ms(1)},
			func(b, d, a vts.PeerSample) bool {
				ratio := float64(d.Responses.Errors()) / float64(d.Requests)
				return b.Responses.Errors() == 0 && a.Responses.Errors() == 0 && math.Abs(ratio-0.5) < 0.05
			}},
		{"a server that is down serves nothing", deathstarbench.Fault{Kind: deathstarbench.Down},
			func(b, d, a vts.PeerSample) bool {
				return d.Requests == d.Responses.Errors() && a.Responses[1] > b.Responses[1]*8/10
			}},
	}
	for _, test := range tests {
		sc := one(2, 50, 20, 0.3, 400, 90*time.Second)
		sc.ControlInterval = ms(30000)
		f := test.fault
		f.Server, f.At, f.Until = sc.Servers[0].Name, ms(30000), ms(60000)
		sc.Faults = []deathstarbench.Fault{f}
		seen, _ := samples(t, sc, Options{Seed: 2, FailTimeout: time.Second})
		p := [3]vts.PeerSample{}
		for i := range p {
			p[i] = seen[i].Groups[0].Peers[0]
		}
		if !test.check(p[0], p[1], p[2]) {
			t.Errorf("%s: got\nbefore %+v\nduring %+v\nafter %+v", test.about, p[0], p[1], p[2])
		}
	}
}

func mean(p vts.PeerSample) float64 { return float64(p.ResponseMsec) / float64(p.Requests) }

func near(p vts.PeerSample, want float64) bool { return math.Abs(mean(p)/want-1) < 0.03 }

func TestCapacityFaultMakesRequestsWait(t *testing.T) {
	sc := one(1, 4, 10, 0, 300, 60*time.Second)
	sc.ControlInterval = ms(20000)
	sc.Faults = []deathstarbench.Fault{{Server: sc.Servers[0].Name, Kind: deathstarbench.Capacity, Slots: 2,
		At: ms(20000), Until: ms(40000)}}
	seen, _ := samples(t, sc, Options{Seed: 1})
	// 2 slots of 10 ms serve 200/s: of 300/s a third stays behind until the slots are back.
	done := [3]uint64{}
	for i := range done {
		done[i] = seen[i].Groups[0].Requests()
	}
	if math.Abs(float64(done[1])/4000-1) > 0.02 || done[2] < 7500 {
		t.Errorf("half of the slots serve 200/s, and what waited is served after: got %v", done)
	}
}

func TestCutConnections(t *testing.T) {
	for _, c := range []struct {
		workload string
		errors   bool
		about    string
	}{
		{deathstarbench.ComposePost, true, "a POST in flight is lost with its server"},
		{deathstarbench.ReadHomeTimeline, false, "a GET in flight goes to another server"},
	} {
		sc := one(2, 10, 100, 0.3, 100, 20*time.Second)
		sc.Upstreams[0].Workload, sc.Loads[0].Workload = c.workload, c.workload
		for i := range sc.Servers {
			sc.Servers[i].Service = map[string]deathstarbench.Duration{c.workload: ms(100)}
		}
		sc.Faults = []deathstarbench.Fault{{Server: sc.Servers[0].Name, Kind: deathstarbench.Down, At: ms(10000),
			Until: ms(12000)}}
		all := Sum(play(t, sc, Options{Seed: 4}).Totals())
		if got := all.Errors > 0; got != c.errors || all.Errors > 15 {
			t.Errorf("%s: got %d errors", c.about, all.Errors)
		}
	}
}

func TestClientsGiveUp(t *testing.T) {
	sc := one(1, 1, 100, 0, 20, 60*time.Second) // twice what it can serve
	run := play(t, sc, Options{Seed: 1, Timeout: 5 * time.Second})
	all := Sum(run.Totals())
	if all.Latency.Max() > 5*time.Second+time.Millisecond || all.Errors == 0 {
		t.Errorf("nobody waits longer than 5 s: got %v, %d errors", all.Latency.Max(), all.Errors)
	}
	// Who gives up in the queue takes no slot: 10 begin every second, and of these some give up in service.
	if served := run.Servers()[0].Served; served < 590 || served > 660 {
		t.Errorf("served: got %d, want 10 per second", served)
	}
}

func TestReloadRestartsTheBalancer(t *testing.T) {
	sc := one(2, 1, 1000, 0, 20, 12*time.Second)
	for _, live := range []bool{false, true} {
		run, err := New(sc, Options{Seed: 1, Live: live, ApplyDelay: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.Step(); err != nil {
			t.Fatal(err)
		}
		w := map[string]map[string]Setting{"compose_backend": {sc.Servers[0].Name: {Weight: 3},
			sc.Servers[1].Name: {Weight: 1}}}
		if err := run.SetWeights(w); err != nil {
			t.Fatal(err)
		}
		s, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		if s.Reloaded == live || s.Groups[0].Peers[0].Weight != 3 {
			t.Errorf("live %v: got reloaded %v, weight %d", live, s.Reloaded, s.Groups[0].Peers[0].Weight)
		}
		conns := run.groups[0].peers[0].conns + run.groups[0].peers[1].conns
		if kept := uint64(conns) == run.inFlight; kept != live {
			t.Errorf("live %v: the balancer counts %d of %d requests in flight", live, conns, run.inFlight)
		}
	}
}

func TestLostPollsAndLateTelemetry(t *testing.T) {
	sc := one(2, 4, 10, 0.3, 200, 300*time.Second)
	seen, run := samples(t, sc, Options{Seed: 9, LostPolls: 0.3})
	if len(seen) > 85 || len(seen) < 55 {
		t.Errorf("of 100 polls 30 %% are lost: got %d", len(seen))
	}
	total, longest := uint64(0), time.Duration(0)
	for _, s := range seen {
		total += s.Groups[0].Requests()
		longest = max(longest, s.Interval)
	}
	if longest < 6*time.Second || total < run.Requests()*95/100 {
		t.Errorf("the next sample covers what was lost: got %d of %d requests, longest interval %v", total,
			run.Requests(), longest)
	}
	late, _ := samples(t, sc, Options{Seed: 9, TelemetryDelay: time.Second})
	if at := late[0].At.Sub(late[1].At) + late[1].Interval; late[0].Interval != 2*time.Second || at != 0 {
		t.Errorf("a sample is a second old: got interval %v", late[0].Interval)
	}
}

func TestRefused(t *testing.T) {
	good := func() *deathstarbench.Scenario { return one(2, 1, 10, 0.5, 10, time.Second) }
	for _, c := range []struct {
		about string
		spoil func(*deathstarbench.Scenario, *Options)
	}{
		{"an unknown server in a group", func(s *deathstarbench.Scenario, _ *Options) {
			s.Upstreams[0].Servers[0] = "x"
		}},
		{"a group without servers", func(s *deathstarbench.Scenario, _ *Options) { s.Upstreams[0].Servers = nil }},
		{"a weight of 0", func(s *deathstarbench.Scenario, _ *Options) { s.Upstreams[0].Weights = []int{1, 0} }},
		{"a weight too many", func(s *deathstarbench.Scenario, _ *Options) { s.Upstreams[0].Weights = []int{1, 1, 1} }},
		{"a load that nobody serves", func(s *deathstarbench.Scenario, _ *Options) {
			s.Loads[0].Workload = "read-home-timeline"
		}},
		{"a rate that is not a number", func(s *deathstarbench.Scenario, _ *Options) {
			s.Loads[0].Phases[0].Rate = math.NaN()
		}},
		{"no slots", func(s *deathstarbench.Scenario, _ *Options) { s.Servers[0].Slots = 0 }},
		{"an unknown fault", func(s *deathstarbench.Scenario, _ *Options) {
			s.Faults = []deathstarbench.Fault{{Server: s.Servers[0].Name, Kind: "flood"}}
		}},
		{"an unknown method", func(_ *deathstarbench.Scenario, o *Options) { o.Method = "fair" }},
		{"telemetry older than an interval", func(_ *deathstarbench.Scenario, o *Options) {
			o.TelemetryDelay = time.Minute
		}},
	} {
		sc, o := good(), Options{}
		c.spoil(sc, &o)
		if _, err := New(sc, o); err == nil {
			t.Errorf("%s: got no error", c.about)
		}
	}
	run, err := New(good(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for about, w := range map[string]map[string]map[string]Setting{
		"an unknown group":  {"x": {}},
		"an unknown server": {"compose_backend": {"x": {Weight: 1}}},
		"a weight of 101":   {"compose_backend": {"a0": {Weight: 101}}},
		"a group without live server": {"compose_backend": {"a0": {Weight: 1, Down: true},
			"b0": {Weight: 1, Down: true}}},
	} {
		if err := run.SetWeights(w); err == nil {
			t.Errorf("%s: got no error", about)
		}
	}
}

func TestNothingIsAllocatedPerRequest(t *testing.T) {
	run, err := New(one(3, 4, 10, 0.5, 800, time.Hour), Options{Seed: 1, Method: LeastConn})
	if err != nil {
		t.Fatal(err)
	}
	run.runTo(int64(time.Minute)) // the pool and the event queue have grown to their size
	at := run.now
	if n := testing.AllocsPerRun(5, func() { at += int64(10 * time.Second); run.runTo(at) }); n > 0 {
		t.Errorf("8000 requests: got %v allocations, want none", n)
	}
}
