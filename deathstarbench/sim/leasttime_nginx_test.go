package sim_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/deathstarbench/socialnet"
	"trimtab/loadgen"
	"trimtab/nginx/instance"
)

// leastTimeWorld is three servers of capacity 1:2:4 at 85 %, short enough to be played in real time.
func leastTimeWorld(weights []int) *deathstarbench.Scenario {
	ms := func(n int) deathstarbench.Duration {
		return deathstarbench.Duration(n) * deathstarbench.Duration(time.Millisecond)
	}
	sc := &deathstarbench.Scenario{
		Name: "least-time", Duration: ms(8000), Warmup: ms(1000), ControlInterval: ms(1000),
		Upstreams: []deathstarbench.Upstream{{
			Name: "home", Workload: deathstarbench.ReadHomeTimeline, Servers: []string{"a", "b", "c"}, Weights: weights,
		}},
		Loads: []deathstarbench.Traffic{{
			Workload: deathstarbench.ReadHomeTimeline, Arrival: "exp",
			Phases: []deathstarbench.Phase{{Rate: 0.85 * 14 / 0.040}},
		}},
	}
	for i, name := range sc.Upstreams[0].Servers {
		sc.Servers = append(sc.Servers, deathstarbench.Server{Name: name, Slots: 2 << i, ServiceCV: 0.5,
			QueueLimit: 2000,
			Service:    map[string]deathstarbench.Duration{deathstarbench.ReadHomeTimeline: ms(40)}})
	}
	return sc
}

// outcome is what came of one play: each server's share of the requests, and the p99 of those due after the warm-up.
type outcome struct {
	shares []float64
	p99    time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("shares %.3f, p99 %v", o.shares, o.p99.Round(time.Millisecond))
}

func played(t *testing.T, sc *deathstarbench.Scenario, method sim.Method, seed uint64) outcome {
	t.Helper()
	run, err := sim.New(sc, sim.Options{Seed: seed, Method: method})
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		if _, err := run.Step(); err != nil {
			t.Fatal(err)
		}
	}
	o := outcome{p99: sim.Sum(run.Finish()).Latency.Quantile(0.99)}
	var served []uint64
	for _, s := range run.Servers() {
		served = append(served, s.Served)
	}
	o.shares = shares(served)
	return o
}

func shares(counts []uint64) []float64 {
	total := 0.0
	for _, n := range counts {
		total += float64(n)
	}
	out := make([]float64, len(counts))
	for i, n := range counts {
		out[i] = float64(n) / total
	}
	return out
}

// measured sends the scenario's load through a NGINX with one worker whose upstream has the directive. ok is false when
// the load generator could not keep up.
func measured(t *testing.T, sc *deathstarbench.Scenario, directive string, seed uint64) (o outcome, ok bool) {
	t.Helper()
	network := socialnet.NewNetwork(socialnet.NewMemory())
	graph, err := deathstarbench.GenerateGraph(deathstarbench.DefaultUsers, seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := network.Populate(t.Context(), graph.Nodes, deathstarbench.DefaultFirstUser, graph.Edges); err != nil {
		t.Fatal(err)
	}
	servers, err := socialnet.StartAll(t.Context(), sc, network, socialnet.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Stop()
	listen := oneWorker(t, directive, sc, servers)
	loads, err := testbed.Workloads(sc, "http://"+listen, sc.Duration.Std(), seed)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	latencies, failures := loadgen.NewLatencies(), 0
	attack, err := loadgen.New(loadgen.Config{Workloads: loads, OnResult: func(r loadgen.Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Failure != loadgen.Success {
			failures++
		}
		if r.Due >= sc.Warmup.Std() {
			latencies.Record(r.Latency)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := attack.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if failures > 0 {
		t.Errorf("requests failed: got %d, want 0", failures)
	}
	o.p99 = latencies.Quantile(0.99)
	var served []uint64
	for _, s := range sc.Servers {
		served = append(served, servers.Server(s.Name).Stats().Served)
	}
	o.shares = shares(served)
	return o, !report.Saturated
}

// oneWorker starts NGINX in front of the servers and returns its address.
func oneWorker(t *testing.T, directive string, sc *deathstarbench.Scenario, servers *socialnet.Backends) string {
	t.Helper()
	dir := t.TempDir()
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	var b strings.Builder
	fmt.Fprintf(&b, "%sworker_processes 1;\nevents { worker_connections 4096; }\n", main)
	fmt.Fprintf(&b, "http {\n%saccess_log off;\n", instance.HTTPPaths(dir))
	fmt.Fprintf(&b, "upstream g { zone g 128k; %s;\n", directive)
	for i, name := range sc.Upstreams[0].Servers {
		fmt.Fprintf(&b, "  server %s weight=%d;\n", servers.Addr(name), sc.Upstreams[0].Weights[i])
	}
	fmt.Fprintf(&b, "  keepalive 256; }\nserver { listen %s; keepalive_requests 100000; proxy_http_version 1.1;\n",
		listen)
	b.WriteString("  proxy_set_header Connection \"\"; location / { proxy_pass http://g; } } }\n")
	n, err := instance.Start(t.Context(), dir, b.String(), listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return listen
}

// TestLeastTimePlaysAsNGINX plays the same load through a real NGINX and the simulator and compares what came of it.
// Shares follow closely; the p99 of some 2,000 requests near full use is rough.
func TestLeastTimePlaysAsNGINX(t *testing.T) {
	binary := os.Getenv("TRIMTAB_NGINX_131")
	if binary == "" {
		t.Skip("set TRIMTAB_NGINX_131 to the path of an NGINX from 1.31 on, which has least_time")
	}
	t.Setenv("TRIMTAB_NGINX", binary)
	for _, weights := range [][]int{{1, 1, 1}, {1, 2, 4}, {4, 2, 1}} {
		for _, c := range []struct {
			directive string
			method    sim.Method
		}{
			{"least_time last_byte inflight", sim.LeastTime},
			{"least_time header inflight", sim.LeastTime},
			{"least_time last_byte", sim.LeastTimeNoInflight},
			{"least_time header", sim.LeastTimeNoInflight},
		} {
			t.Run(fmt.Sprint(c.directive, " with weights ", weights), func(t *testing.T) {
				sc := leastTimeWorld(weights)
				got := played(t, sc, c.method, 1)
				want, ok := measured(t, sc, c.directive, 1)
				for try := 1; !ok && try < 4; try++ {
					want, ok = measured(t, sc, c.directive, 1)
				}
				if !ok {
					t.Skip("the load generator could not keep up in four runs: this machine is too busy to compare")
				}
				t.Logf("simulated: %v; NGINX: %v", got, want)
				for i, share := range got.shares {
					if math.Abs(share-want.shares[i]) > 0.03 {
						t.Errorf("share of server %d: got %.3f, NGINX has %.3f", i, share, want.shares[i])
					}
				}
				if r := got.p99.Seconds() / want.p99.Seconds(); r < 0.6 || r > 1.6 {
					t.Errorf("p99: got %v, NGINX has %v", got.p99, want.p99)
				}
			})
		}
	}
}
