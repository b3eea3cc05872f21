package arena

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"trimtab/arena/testbed"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/loadgen"
	"trimtab/tuner"
	"trimtab/vts"
)

// TestbedOptions describe the testbed as a World.
type TestbedOptions struct {
	Dir string // everything is written below it
	// NewActuator makes the actuator of a testbed that was just started, and what closes it. It goes by addresses.
	NewActuator func(*testbed.Testbed) (tuner.Actuator, func(), error)
	Poll        time.Duration // of the status page; 0 means 500 ms
	Logger      *slog.Logger  // nil: silent
}

// TestbedWorld plays runs on emulated backends behind a real NGINX, in real time. Every run has backends and an NGINX
// of its own, so that nothing is left of the one before; requests are due exactly when the simulator's are for the same
// seed.
type TestbedWorld struct {
	opts TestbedOptions
	run  *testbedRun
}

var _ World = (*TestbedWorld)(nil)

// NewTestbedWorld returns the testbed.
func NewTestbedWorld(o TestbedOptions) *TestbedWorld {
	if o.Poll == 0 {
		o.Poll = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &TestbedWorld{opts: o}
}

// testbedRun is one run in progress.
type testbedRun struct {
	scenario  *deathstarbench.Scenario
	bed       *testbed.Testbed
	addr      map[string]string // by server name
	client    *vts.Client
	poller    *vts.Poller
	reader    *vts.Reader
	actuator  tuner.Actuator
	close     func()
	deadlines []time.Duration // by load
	groups    []int           // upstream by load
	weights   tuner.Weights
	counts    []GroupResult
	latencies []*loadgen.Latencies // by upstream
	steps     int

	start  time.Time
	cancel context.CancelFunc
	wait   sync.WaitGroup
	ended  chan struct{} // closed when the load has ended
	failed error         // of the load or the faults; read after ended

	mu       sync.Mutex
	interval Client
	recent   *loadgen.Latencies
	all      *loadgen.Latencies
	total    Results
}

// Reset implements World.
func (w *TestbedWorld) Reset(ctx context.Context, run Run) (err error) {
	w.stop()
	sc, err := startingFrom(run.Scenario, run.Initial)
	if err != nil {
		return err
	}
	if run.Method != "" {
		c := *sc
		c.Upstreams = slices.Clone(sc.Upstreams)
		for i := range c.Upstreams {
			c.Upstreams[i].Method = run.Method
		}
		sc = &c
	}
	dir := filepath.Join(w.opts.Dir, "testbed")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear the testbed: %w", err)
	}
	r := &testbedRun{scenario: sc, addr: map[string]string{}, ended: make(chan struct{}), recent: loadgen.NewLatencies(), all: loadgen.NewLatencies()}
	if r.bed, err = testbed.Start(ctx, testbed.Options{Scenario: sc, Dir: dir, Seed: run.Seed, Logger: w.opts.Logger}); err != nil {
		return err
	}
	w.run = r
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	for _, s := range sc.Servers {
		r.addr[s.Name] = r.bed.Backends.Addr(s.Name)
	}
	r.prepareCounts(run.Deadlines)
	if r.actuator, r.close, err = w.opts.NewActuator(r.bed); err != nil {
		return err
	}
	if r.client, err = vts.NewClient(vts.ClientConfig{URL: r.bed.StatusURL, Timeout: 2 * time.Second}); err != nil {
		return err
	}
	if r.poller, err = vts.NewPoller(r.client, vts.PollerConfig{Interval: w.opts.Poll, Logger: w.opts.Logger}); err != nil {
		return err
	}
	workloads, err := testbed.Workloads(sc, r.bed.URL, sc.Duration.Std(), run.Seed)
	if err != nil {
		return err
	}
	for i := range workloads {
		for j := range workloads[i].Bursts {
			workloads[i].Bursts[j].Seed = sim.ArrivalSeed(run.Seed, i)
		}
	}
	attack, err := loadgen.New(loadgen.Config{Workloads: workloads, OnResult: r.record})
	if err != nil {
		return err
	}
	r.begin(ctx, attack)
	return nil
}

// begin starts the load, the poller and the faults.
func (r *testbedRun) begin(ctx context.Context, attack *loadgen.Attack) {
	ctx, r.cancel = context.WithCancel(ctx)
	r.reader = r.poller.Reader()
	r.start = time.Now()
	r.wait.Go(func() { _ = r.poller.Run(ctx) })
	faults := make(chan error, 1)
	r.wait.Go(func() { faults <- r.bed.Backends.PlayFaults(ctx, r.start) })
	r.wait.Go(func() {
		defer close(r.ended)
		_, r.failed = attack.Run(ctx)
		select {
		case err := <-faults:
			if r.failed == nil && ctx.Err() == nil {
				r.failed = err
			}
		default:
		}
	})
}

func (r *testbedRun) prepareCounts(deadlines map[string]time.Duration) {
	r.weights = tuner.Weights{}
	for _, u := range r.scenario.Upstreams {
		g := GroupResult{Upstream: u.Name, Workload: u.Workload}
		weights := make([]tuner.Weight, len(u.Servers))
		for j, name := range u.Servers {
			g.Servers = append(g.Servers, ServerCount{Server: name})
			weights[j], _ = tuner.NewWeight(u.Weights[j]) // checked when the scenario was read
		}
		r.counts = append(r.counts, g)
		r.latencies = append(r.latencies, loadgen.NewLatencies())
		r.weights[u.Name] = settingsOf(u.Servers, weights)
	}
	for _, l := range r.scenario.Loads {
		i := slices.IndexFunc(r.scenario.Upstreams, func(u deathstarbench.Upstream) bool { return u.Workload == l.Workload })
		r.groups = append(r.groups, i)
		r.deadlines = append(r.deadlines, deadlines[r.scenario.Upstreams[i].Name])
	}
}

// record takes one answer.
func (r *testbedRun) record(res loadgen.Result) {
	tardiness, failed := 0.0, res.Failure != loadgen.Success
	d := r.deadlines[res.Workload]
	switch {
	case failed:
		tardiness = errorTardiness
	case d > 0 && res.Latency > d:
		tardiness = float64(res.Latency)/float64(d) - 1
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interval.Requests++
	r.interval.Tardiness += tardiness
	r.recent.Record(res.Latency)
	if failed {
		r.interval.Errors++
	}
	if res.Due < r.scenario.Warmup.Std() {
		return
	}
	g := &r.counts[r.groups[res.Workload]]
	g.Requests++
	g.Tardiness += tardiness
	r.total.Requests++
	r.total.Tardiness += tardiness
	r.latencies[r.groups[res.Workload]].Record(res.Latency)
	r.all.Record(res.Latency)
	if failed {
		g.Errors++
		r.total.Errors++
	}
}

// errorTardiness is the tardiness of a failed request, as in the simulator.
const errorTardiness = 10

// Step implements World.
func (w *TestbedWorld) Step(ctx context.Context) (Interval, error) {
	r := w.run
	r.steps++
	iv := Interval{At: min(time.Duration(r.steps)*r.scenario.ControlInterval.Std(), r.scenario.Duration.Std())}
	iv.Done = iv.At >= r.scenario.Duration.Std()
	timer := time.NewTimer(time.Until(r.start.Add(iv.At)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return Interval{}, ctx.Err()
	case <-r.bed.NGINX.Done():
		return Interval{}, fmt.Errorf("nginx ended during the run: see %s", r.bed.NGINX.ErrorLog())
	}
	sample, err := r.reader.Sample(ctx)
	switch {
	case ctx.Err() != nil:
		return Interval{}, ctx.Err()
	case err != nil:
		iv.Err = errors.Join(ErrNoSample, err)
	default:
		iv.Sample = r.named(sample)
		r.countServers(iv)
	}
	r.mu.Lock()
	iv.Client = r.interval
	iv.Client.Mean, iv.Client.P99 = r.recent.Mean(), r.recent.Quantile(0.99)
	r.interval = Client{}
	r.recent.Reset()
	r.mu.Unlock()
	return iv, nil
}

// named replaces addresses by the scenario's names.
func (r *testbedRun) named(s vts.Sample) vts.Sample {
	out := s
	out.Groups = nil
	for _, g := range s.Groups {
		if !slices.ContainsFunc(r.scenario.Upstreams, func(u deathstarbench.Upstream) bool { return u.Name == g.Name }) {
			continue
		}
		peers := slices.Clone(g.Peers)
		for i := range peers {
			peers[i].Server = r.bed.ServerName(peers[i].Server)
		}
		out.Groups = append(out.Groups, vts.GroupSample{Name: g.Name, Peers: peers})
	}
	return out
}

func (r *testbedRun) countServers(iv Interval) {
	if iv.At-r.scenario.ControlInterval.Std() < r.scenario.Warmup.Std() {
		return
	}
	for i := range r.counts {
		for _, g := range iv.Sample.Groups {
			if g.Name != r.counts[i].Upstream {
				continue
			}
			for _, p := range g.Peers {
				for j := range r.counts[i].Servers {
					if r.counts[i].Servers[j].Server == p.Server {
						r.counts[i].Servers[j].Requests += p.Requests
					}
				}
			}
		}
	}
}

// SetWeights implements World.
func (w *TestbedWorld) SetWeights(ctx context.Context, weights tuner.Weights) (tuner.Receipt, error) {
	r := w.run
	addressed := tuner.Weights{}
	for group, servers := range weights {
		addressed[group] = map[string]tuner.Setting{}
		for server, s := range servers {
			addressed[group][r.addr[server]] = s
		}
	}
	receipt, err := r.actuator.Apply(ctx, addressed)
	if err != nil {
		return receipt, err
	}
	for group, servers := range weights {
		for server, s := range servers {
			r.weights[group][server] = s
		}
	}
	return receipt, nil
}

// Weights implements World.
func (w *TestbedWorld) Weights() tuner.Weights { return w.run.weights.Clone() }

// Results implements World.
func (w *TestbedWorld) Results(ctx context.Context) (Results, error) {
	r := w.run
	select {
	case <-r.ended:
	case <-ctx.Done():
		return Results{}, ctx.Err()
	}
	if r.failed != nil {
		return Results{}, r.failed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.total
	out.Latency = r.all
	for i, g := range r.counts {
		g.Latency = r.latencies[i]
		out.Groups = append(out.Groups, g)
	}
	return out, nil
}

// Close implements World.
func (w *TestbedWorld) Close() error {
	w.stop()
	return nil
}

// stop ends the run in progress.
func (w *TestbedWorld) stop() {
	r := w.run
	if r == nil {
		return
	}
	w.run = nil
	if r.cancel != nil {
		r.cancel()
		r.wait.Wait()
	}
	if r.close != nil {
		r.close()
	}
	if r.client != nil {
		r.client.Close()
	}
	r.bed.Stop()
}
