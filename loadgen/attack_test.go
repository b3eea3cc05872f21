package loadgen

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.uber.org/goleak"

	"trimtab/loadgen/arrival"
)

// serve starts a server with the handler and returns its URL.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.URL
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }

// collected keeps results.
type collected struct {
	mu  sync.Mutex
	all []Result
}

func (c *collected) add(r Result) {
	c.mu.Lock()
	c.all = append(c.all, r)
	c.mu.Unlock()
}

func TestEveryRequestIsCountedOnceAndInTime(t *testing.T) {
	url := serve(t, hello)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var results collected
	r := send(t, url, 200, func(c *Config) { c.OnResult = results.add })
	if r.Requests != 200 || r.Dropped != 0 || r.Errors != 0 || r.BytesIn != 1000 || r.Codes[200] != 200 {
		t.Errorf("got %d requests, %d dropped, failures %v, %d bytes, codes %v, want 200 good ones of 5 bytes",
			r.Requests, r.Dropped, r.ErrorKinds, r.BytesIn, r.Codes)
	}
	slices.SortFunc(results.all, func(a, b Result) int { return int(a.Seq) - int(b.Seq) })
	for i, got := range results.all {
		if want := time.Duration(i+1) * 5 * time.Millisecond; got.Seq != uint64(i) || got.Due != want {
			t.Fatalf("result %d: got number %d due at %s, want due at %s", i, got.Seq, got.Due, want)
		}
		if got.Lateness < 0 || got.Raw <= 0 || got.Latency != got.Lateness+got.Raw {
			t.Fatalf("result %d: got latency %s, lateness %s, raw %s, want lateness of at least 0 and the sum", i,
				got.Latency, got.Lateness, got.Raw)
		}
	}
	if len(results.all) != 200 || r.RatePerS != 200 || r.Interarrival.Count != 199 {
		t.Errorf("got %d results, rate %g, %d gaps, want 200, 200, 199", len(results.all), r.RatePerS,
			r.Interarrival.Count)
	}
}

// One worker, a server that takes 50 ms, 100 requests a second: the i-th request is due at 10·i ms and answered at
// about 10 + 50·i ms, so that latency grows by 40 ms per request. The time a user waits is not what vegeta calls
// latency.
func TestOneBusyWorkerHidesNoWaiting(t *testing.T) {
	const attempts = 3 // the machine may pause between the server's clock and ours
	for attempt := range attempts {
		r, p99 := oneBusyWorker(t)
		t.Logf("p99 %.1f ms, by the server %.1f ms, raw %.1f ms, %d requests", r.Latency.P99, p99, r.Raw.P99,
			r.Requests)
		if r.Raw.P50 < 50 || r.Raw.P50 > r.Latency.P50 {
			t.Errorf("got raw p50 %g ms, want from 50 ms to the true %g ms", r.Raw.P50, r.Latency.P50)
		}
		if !r.Saturated || r.Capped == 0 || r.Dropped == 0 || r.Requests+r.Dropped != 100 {
			t.Errorf("got saturated %t, %d capped, %d sent, %d dropped, want a saturated run of 100 in all",
				r.Saturated, r.Capped, r.Requests, r.Dropped)
		}
		if math.Abs(r.Latency.P99/p99-1) <= 0.05 {
			return
		}
		if attempt == attempts-1 {
			t.Errorf("got p99 %.1f ms, want the server's %.1f ms within 5 %%", r.Latency.P99, p99)
		}
	}
}

// oneBusyWorker returns the report and the p99 in milliseconds that the server saw: its answers against the due times.
func oneBusyWorker(t *testing.T) (*Report, float64) {
	t.Helper()
	var mu sync.Mutex
	var answered []time.Time
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		<-time.After(50 * time.Millisecond)
		mu.Lock()
		answered = append(answered, time.Now())
		mu.Unlock()
	})
	a, err := New(Config{MaxWorkers: 1, Workloads: []Workload{{
		Name: "one", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(100), Duration: time.Second,
			Seed: 1}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	latencies := make([]float64, len(answered))
	for i, at := range answered {
		latencies[i] = Milliseconds(at.Sub(a.Started()) - time.Duration(i+1)*10*time.Millisecond)
	}
	slices.Sort(latencies)
	return r, latencies[int(math.Ceil(0.99*float64(len(latencies))))-1]
}

func TestInterruptedAttackDrainsAndReports(t *testing.T) {
	defer goleak.VerifyNone(t)
	stall := make(chan struct{})
	var started sync.WaitGroup
	started.Add(5)
	once := make(chan struct{}, 5)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case once <- struct{}{}:
			started.Done()
		default:
		}
		<-stall
	}))
	defer srv.Close()
	defer close(stall) // before the server is closed, which waits for its requests
	for _, c := range []struct {
		what string
		max  int
	}{{"with workers to spare", 0}, {"with the dispatcher waiting for a worker", 3}} {
		a, err := New(Config{MaxWorkers: c.max, Drain: 50 * time.Millisecond, Workloads: []Workload{{
			Name: "stalled", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: srv.URL}),
			Bursts: []Burst{
				{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(200), Duration: time.Hour, Seed: 1},
				{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(1e-6), Duration: 1000 * time.Hour,
					Seed: 1},
				{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(1), Start: time.Hour,
					Duration: time.Hour, Seed: 1},
			},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if c.max == 0 {
				started.Wait()
			} else {
				for a.InFlight() < uint64(c.max) {
					<-time.After(time.Millisecond)
				}
			}
			cancel()
		}()
		r, err := a.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Requests == 0 || r.ErrorKinds["canceled"] != r.Requests {
			t.Errorf("%s: got interrupted %t, %d requests, failures %v, want all given up", c.what, r.Interrupted,
				r.Requests, r.ErrorKinds)
		}
		if _, err := a.Run(t.Context()); err == nil {
			t.Errorf("%s: a second run: got no error", c.what)
		}
	}
}

// An interruption is not saturation: what was due after it was not dropped.
func TestInterruptionDropsOnlyWhatWasDue(t *testing.T) {
	url := serve(t, hello)
	ctx, cancel := context.WithCancel(t.Context())
	var n int
	var r *Report
	cfg := Config{LatenessBound: time.Minute, Workloads: []Workload{{
		Name: "x", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(100), Duration: time.Hour,
			Seed: 1}},
	}}, OnResult: func(Result) {
		if n++; n == 20 {
			cancel()
		}
	}}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if r.Saturated || r.Dropped != 0 || r.Errors != 0 || !r.Interrupted {
		t.Errorf("got saturated %t, %d dropped, failures %v, want a clean interruption", r.Saturated, r.Dropped,
			r.ErrorKinds)
	}
}

func TestWorkloadsAndBurstsRunSideBySide(t *testing.T) {
	var mu sync.Mutex
	paths := map[string]int{}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths[r.URL.Path]++
		mu.Unlock()
	})
	workload := func(path string, starts ...time.Duration) Workload {
		w := Workload{Name: path, Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url + path})}
		for _, at := range starts {
			w.Bursts = append(w.Bursts, Burst{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(100),
				Start: at, Duration: 200 * time.Millisecond, Seed: 1})
		}
		return w
	}
	var results collected
	var seconds []Second
	a, err := New(Config{
		LatenessBound: time.Minute,
		Workloads:     []Workload{workload("/a", 0, 300*time.Millisecond), workload("/b", 100*time.Millisecond)},
		OnResult:      results.add, OnSecond: func(s Second) { seconds = append(seconds, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if before := a.Snapshot(); before.Elapsed != 0 || before.Remaining != 500*time.Millisecond ||
		before.Total.Requests != 0 {
		t.Errorf("before the start: got %+v", before)
	}
	r, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if paths["/a"] != 40 || paths["/b"] != 20 || r.Requests != 60 || r.Workloads[0].Requests != 40 ||
		len(r.Workloads[0].Bursts) != 2 {
		t.Errorf("got %v at the server, %d reported, want 40 and 20", paths, r.Requests)
	}
	if r.Workloads[0].RatePerS != 100 || r.Workloads[1].RatePerS != 100 {
		t.Errorf("got rates %g and %g, want 100 each while they were sent", r.Workloads[0].RatePerS,
			r.Workloads[1].RatePerS)
	}
	for _, got := range results.all {
		burst := a.cfg.Workloads[got.Workload].Bursts[got.Burst]
		if got.Due <= burst.Start || got.Due > burst.Start+burst.Duration {
			t.Fatalf("got a request due at %s in the burst from %s", got.Due, burst.Start)
		}
	}
	var sum uint64
	for _, s := range seconds {
		sum += s.Total.Requests
		if len(s.Workloads) != 2 || s.Total.Requests != s.Workloads[0].Requests+s.Workloads[1].Requests {
			t.Errorf("got second %+v, want the total to be the sum of two", s)
		}
	}
	if after := a.Snapshot(); sum != 60 || after.Total.Requests != 60 || after.Remaining != 0 ||
		after.Total.Latency.Max != r.Latency.Max {
		t.Errorf("got %d requests by second and snapshot %+v, want 60", sum, after.Total)
	}
}

func TestBadConfigurationsAreRefusedWithEveryFault(t *testing.T) {
	good := Workload{Name: "x", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET",
		URL: "http://127.0.0.1/"}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(1), Duration: time.Second}}}
	change := func(f func(*Burst)) []Workload {
		w := good
		w.Bursts = slices.Clone(good.Bursts)
		f(&w.Bursts[0])
		return []Workload{w}
	}
	for what, cfg := range map[string]Config{
		"no workload":     {},
		"no targeter":     {Workloads: []Workload{{Name: "x", Bursts: good.Bursts}}},
		"no burst":        {Workloads: []Workload{{Name: "x", Targeter: good.Targeter}}},
		"a rate of 0":     {Workloads: change(func(b *Burst) { b.Rate = arrival.Constant(0) })},
		"a negative rate": {Workloads: change(func(b *Burst) { b.Rate = arrival.Constant(-5) })},
		"a rate that is no number": {Workloads: change(func(b *Burst) {
			b.Rate = arrival.Constant(math.NaN())
		})},
		"no rate":                  {Workloads: change(func(b *Burst) { b.Rate = nil })},
		"an unknown arrival":       {Workloads: change(func(b *Burst) { b.Arrival.Kind = "uniform" })},
		"no duration":              {Workloads: change(func(b *Burst) { b.Duration = 0 })},
		"a start before the start": {Workloads: change(func(b *Burst) { b.Start = -1 })},
		"an end beyond the clock": {Workloads: change(func(b *Burst) {
			b.Start, b.Duration = math.MaxInt64, math.MaxInt64
		})},
		"more workers than there may be":   {Workloads: []Workload{good}, Workers: 5, MaxWorkers: 4},
		"a negative number of workers":     {Workloads: []Workload{good}, Workers: -1},
		"a negative bound":                 {Workloads: []Workload{good}, LatenessBound: -1},
		"a negative drain":                 {Workloads: []Workload{good}, Drain: -1},
		"a negative number of connections": {Workloads: []Workload{good}, Client: ClientConfig{Connections: -1}},
	} {
		if a, err := New(cfg); err == nil {
			t.Errorf("%s: got %v, want an error", what, a)
		}
	}
}
