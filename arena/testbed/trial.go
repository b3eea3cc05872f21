package testbed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"trimtab/deathstarbench"
	"trimtab/loadgen"
	"trimtab/tuner"
	"trimtab/vts"
)

// TrialConfig describes a trial: load on a testbed, first with the starting weights, then with a policy.
type TrialConfig struct {
	Policy     tuner.Policy
	PolicyName string
	Actuator   tuner.Actuator
	Duration   time.Duration // of the load
	// TuneAt is when the policy begins to decide, from the start of the load.
	TuneAt time.Duration
	// Settle is the time after TuneAt that the Tuned part leaves out (it is reported as Transition).
	Settle       time.Duration
	PollInterval time.Duration // of the status page; 0 means 500 ms
	Seed         uint64
	// ErrorTardiness is what a failed request counts in the objective; 0 means 10.
	ErrorTardiness float64
	Stats          func(*vts.Status) error // told every status that was read; an error ends the trial
	Progress       func(Progress)          // told about once a second
	Logger         *slog.Logger
}

// Progress is where a trial stands.
type Progress struct {
	Elapsed, Total time.Duration
	RatePerSec     float64 // answers in the last second
	P99MS          float64 // of all answers since the start, ms
	Tuning         bool
	Weights        map[string]map[string]int // in force, by upstream and server name
}

// trial is the state of a running trial.
type trial struct {
	cfg     TrialConfig
	bed     *Testbed
	poller  *vts.Poller
	attack  *loadgen.Attack
	seen    timeline
	report  *Report
	started time.Time

	mu        sync.Mutex
	intervals []Interval
	weights   map[string]map[string]int
	reloadAt  []time.Duration
	tunedAt   time.Duration // offset of the first decision; 0 when there was none
}

// Run runs a trial on the testbed. A cancelled ctx ends the load early; what was measured until then is reported,
// marked as interrupted, with a nil error.
func (t *Testbed) Run(ctx context.Context, cfg TrialConfig) (*Report, error) {
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 500 * time.Millisecond
	}
	if cfg.ErrorTardiness == 0 {
		cfg.ErrorTardiness = 10
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &trial{cfg: cfg, bed: t}
	client, err := t.statusClient(false)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first, err := client.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the testbed's status page: %w", err)
	}
	r.weights = t.weights(&first)
	if r.poller, err = vts.NewPoller(client, vts.PollerConfig{Interval: cfg.PollInterval, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	workloads, err := Workloads(t.Scenario, t.URL, cfg.Duration, cfg.Seed)
	if err != nil {
		return nil, err
	}
	r.attack, err = loadgen.New(loadgen.Config{Workloads: workloads, OnResult: r.seen.record, OnSecond: r.progress})
	if err != nil {
		return nil, err
	}
	r.report = &Report{
		Scenario: t.Scenario.Name, Policy: cfg.PolicyName, Seed: cfg.Seed, NGINX: first.NginxVer,
		Servers: make(map[string]string), Deadlines: make(map[string]float64),
	}
	for addr, name := range t.names {
		r.report.Servers[name] = addr
	}
	return r.run(ctx)
}

// run starts everything that a trial consists of and waits for the load to end.
func (r *trial) run(ctx context.Context) (*Report, error) {
	// The poller and the control loop go on until the load has drained, also when ctx is cancelled meanwhile.
	side, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	load, stopLoad := context.WithCancelCause(ctx)
	defer stopLoad(nil)
	fail := func(err error) { stopLoad(err) }

	events := r.poller.Subscribe(64)
	defer events.Close()
	r.started = time.Now()
	r.report.Started = r.started.UTC().Truncate(time.Millisecond)
	var wait sync.WaitGroup
	wait.Go(func() { _ = r.poller.Run(side) })
	wait.Go(func() { r.record(side, events, fail) })
	wait.Go(func() { r.control(side, fail) })
	wait.Go(func() { r.watch(side, fail) })
	wait.Go(func() {
		if err := r.bed.Backends.PlayFaults(side, r.started); err != nil && side.Err() == nil {
			fail(err)
		}
	})
	loads, err := r.attack.Run(load)
	// One more poll after the last answer, so that the statistics hold every request.
	if err == nil {
		err = r.lastPoll()
	}
	stop(nil)
	wait.Wait()
	if err != nil {
		return nil, err
	}
	if cause := context.Cause(load); cause != nil && ctx.Err() == nil {
		return nil, cause
	}
	r.finish(loads)
	return r.report, nil
}

// lastPoll waits until the poller has seen the status page once more.
func (r *trial) lastPoll() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	reader := r.poller.Reader()
	if _, err := reader.Sample(ctx); err != nil {
		return fmt.Errorf("read the final statistics: %w", err)
	}
	return nil
}

// record hands every status on.
func (r *trial) record(ctx context.Context, events *vts.Subscription, fail func(error)) {
	take := func(e vts.Event) bool {
		if e.Status == nil {
			return true
		}
		r.mu.Lock()
		r.weights = r.bed.weights(e.Status)
		r.mu.Unlock()
		if r.cfg.Stats != nil {
			if err := r.cfg.Stats(e.Status); err != nil {
				fail(fmt.Errorf("record statistics: %w", err))
				return false
			}
		}
		return true
	}
	for {
		select {
		case e := <-events.C:
			if !take(e) {
				return
			}
		case <-ctx.Done():
			for {
				select {
				case e := <-events.C:
					if !take(e) {
						return
					}
				default:
					return
				}
			}
		}
	}
}

// watch ends the trial when NGINX ends under it.
func (r *trial) watch(ctx context.Context, fail func(error)) {
	select {
	case <-ctx.Done():
	case <-r.bed.NGINX.Done():
		fail(fmt.Errorf("nginx ended during the run: see %s", r.bed.NGINX.ErrorLog()))
	}
}

// control is the control loop: one sample, one decision per control interval.
func (r *trial) control(ctx context.Context, fail func(error)) {
	reader := r.poller.Reader()
	tick := time.NewTicker(r.bed.Scenario.ControlInterval.Std())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.step(ctx, reader); err != nil && ctx.Err() == nil {
			fail(err)
			return
		}
	}
}

// step observes one control interval and, once it is time, decides and applies.
func (r *trial) step(ctx context.Context, source tuner.Source) error {
	interval := Interval{}
	sample, err := source.Sample(ctx)
	at := time.Since(r.started)
	interval.AtS = at.Seconds()
	if err != nil {
		r.cfg.Logger.Warn("no sample in this control interval", "err", err)
		interval.Reason = "no sample: " + err.Error()
	} else if at >= r.cfg.TuneAt && at < r.cfg.Duration {
		if r.tunedAt == 0 {
			r.tunedAt = at
		}
		decision := r.cfg.Policy.Decide(tuner.Observation{Sample: sample, Current: tuner.InForce(sample)})
		interval.Reason = decision.Reason
		if len(decision.Weights) > 0 {
			receipt, err := r.cfg.Actuator.Apply(ctx, decision.Weights)
			if err != nil {
				r.report.ApplyErrors++
				interval.Reason += ": " + err.Error()
				r.cfg.Logger.Error("weights not applied", "err", err)
				if fatal := (interface{ Fatal() bool })(nil); errors.As(err, &fatal) && fatal.Fatal() {
					return fmt.Errorf("apply weights: %w", err)
				}
			}
			if receipt.Reloaded {
				interval.Reloaded = true
				r.reloadAt = append(r.reloadAt, time.Since(r.started))
			}
		}
	}
	r.mu.Lock()
	interval.Weights = r.weights
	r.intervals = append(r.intervals, interval)
	r.mu.Unlock()
	return nil
}

// progress tells where the trial stands once a second.
func (r *trial) progress(second loadgen.Second) {
	if r.cfg.Progress == nil {
		return
	}
	elapsed := time.Duration(second.At * float64(time.Second))
	r.mu.Lock()
	weights := r.weights
	r.mu.Unlock()
	r.cfg.Progress(Progress{
		Elapsed: min(elapsed, r.cfg.Duration), Total: r.cfg.Duration, RatePerSec: second.Total.RatePerS,
		P99MS: r.attack.Snapshot().Total.Latency.P99, Tuning: elapsed >= r.cfg.TuneAt, Weights: weights,
	})
}

// finish computes the report from what was seen.
func (r *trial) finish(loads *loadgen.Report) {
	rep := r.report
	rep.Requests, rep.Errors, rep.RatePerSec, rep.Latency = loads.Requests, loads.Errors, loads.RatePerS, loads.Latency
	rep.DurationS, rep.Interrupted = min(loads.DurationS, r.cfg.Duration.Seconds()), loads.Interrupted
	rep.Saturated, rep.Dropped, rep.Lateness = loads.Saturated, loads.Dropped, loads.Lateness
	rep.Load = make(map[string]WorkloadReport)
	for _, w := range loads.Workloads {
		rep.Load[w.Name] = WorkloadReport{Requests: w.Requests, Errors: w.Errors, Latency: w.Latency, ErrorKinds: w.ErrorKinds}
	}
	health := r.poller.Health()
	rep.PollsFailed = health.Polls - health.Statuses
	rep.Weights = r.weights
	rep.Intervals = r.intervals

	o := objective{errorTardiness: r.cfg.ErrorTardiness}
	for i := range r.bed.Scenario.Loads {
		d := deadline(r.bed.Scenario, r.bed.Scenario.Loads[i].Workload)
		o.deadlines = append(o.deadlines, d)
		rep.Deadlines[r.bed.Scenario.Loads[i].Workload] = loadgen.Milliseconds(d)
	}
	end := time.Duration(rep.DurationS * float64(time.Second))
	tuneAt := r.tunedAt
	if tuneAt == 0 {
		tuneAt = end
	}
	settled := min(tuneAt+r.cfg.Settle, end)
	all := r.seen.sorted()
	part := func(w window) Part {
		p := o.measure(within(all, w), w)
		for _, at := range r.reloadAt {
			if at >= w.from && at < w.to {
				p.Reloads++
			}
		}
		p.Weights = r.weightsAt(w.to)
		return p
	}
	rep.Reloads = len(r.reloadAt)
	rep.Before, rep.Transition, rep.Tuned = part(window{0, tuneAt}), part(window{tuneAt, settled}), part(window{settled, end + time.Second})
	rep.Tuned.ToS = end.Seconds()
	if rep.Before.Requests > 0 && rep.Tuned.Requests > 0 && rep.Tuned.Latency.P99 > 0 {
		rep.P99Ratio = rep.Before.Latency.P99 / rep.Tuned.Latency.P99
	}
	from := time.Duration(0)
	for i := range rep.Intervals {
		iv := &rep.Intervals[i]
		to := time.Duration(iv.AtS * float64(time.Second))
		p := o.measure(within(all, window{from, to}), window{from, to})
		iv.RatePerSec, iv.P50, iv.P99, iv.Errors = p.RatePerSec, p.Latency.P50, p.Latency.P99, p.Errors
		from = to
	}
}

// weightsAt returns the weights at the end of the last interval that ended before the offset.
func (r *trial) weightsAt(at time.Duration) map[string]map[string]int {
	var w map[string]map[string]int
	for i := range r.intervals {
		if w != nil && r.intervals[i].AtS > at.Seconds() {
			break
		}
		w = r.intervals[i].Weights
	}
	return w
}

// deadline is the deadline of a workload: the scenario's, else three times the mean service time of its fastest server.
func deadline(sc *deathstarbench.Scenario, workload string) time.Duration {
	u := sc.Upstream(workload)
	if u == nil {
		return time.Second
	}
	if u.Deadline > 0 {
		return u.Deadline.Std()
	}
	fastest := time.Duration(0)
	for _, name := range u.Servers {
		if s := sc.Server(name).Service[workload].Std(); s > 0 && (fastest == 0 || s < fastest) {
			fastest = s
		}
	}
	return 3 * fastest
}

// Write writes report.json, report.html and latency.png into the testbed's directory, each whole or not at all, and
// adds their paths to the report.
func (r *Report) Write(dir string) error {
	r.Files = map[string]string{
		"report": filepath.Join(dir, "report.json"), "page": filepath.Join(dir, "report.html"), "plot": filepath.Join(dir, "latency.png"),
		"stats": filepath.Join(dir, "stats.ndjson"),
	}
	return errors.Join(
		writeFile(r.Files["plot"], r.writePNG),
		writeFile(r.Files["page"], r.writeHTML),
		writeFile(r.Files["report"], r.writeJSON),
	)
}
