package testbed

import (
	"context"
	"fmt"
	"time"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/loadgen"
	"trimtab/vts"
	"trimtab/weights"
)

// TrialConfig describes a trial: load on a testbed, first with the starting weights, then with a policy.
type TrialConfig struct {
	Run        arena.Run
	Policy     control.Policy
	PolicyName string
	// TuneAt is when the policy begins to decide, from the start of the load.
	TuneAt time.Duration
	// Settle is the time after TuneAt that the Tuned part leaves out (it is reported as Transition).
	Settle time.Duration
	// OnInterval is told of every control interval and the weights in force at its end, if set.
	OnInterval func(Interval)
	// OnStep is told what the policy saw and what became of it, if set.
	OnStep func(TrialStep)
}

// TrialStep is a control interval as the policy saw it.
type TrialStep struct {
	Sample   *vts.Sample // nil: there was no telemetry
	InForce  weights.Set // before the change
	Changed  weights.Set // that were put in force; nil: none
	Reloaded bool
	Held     string
	Problem  string
	Reason   string
}

// Trial plays a trial and reports it. A cancelled ctx ends the load early; what was measured until then is reported,
// marked as interrupted, with a nil error.
func (w *World) Trial(ctx context.Context, cfg TrialConfig) (*Report, error) {
	if err := w.Reset(ctx, cfg.Run); err != nil {
		return nil, err
	}
	defer w.Close()
	t := &trial{cfg: cfg, world: w, levels: arena.StartingLevels(cfg.Run.Scenario)}
	var err error
	if t.before, err = arena.NewScore(cfg.Run.Scenario); err == nil {
		t.tuned, err = arena.NewScore(cfg.Run.Scenario)
	}
	if err != nil {
		return nil, err
	}
	t.report = &Report{
		Schema:   ReportSchema,
		Scenario: cfg.Run.Scenario.Name, Policy: cfg.PolicyName, Seed: cfg.Run.Seed,
		Started:   w.session.started.UTC().Truncate(time.Millisecond),
		Addresses: make(map[string]string), Deadlines: make(map[string]float64), Loads: lawsOf(cfg.Run.Scenario),
	}
	if status, err := w.session.poller.Last(); err == nil {
		t.report.NGINX = status.NginxVer
	}
	for addr, name := range w.bed.names {
		t.report.Addresses[name] = addr
	}
	for group, d := range cfg.Run.Deadlines {
		t.report.Deadlines[group] = loadgen.Milliseconds(d)
	}
	for done := false; !done; {
		var err error
		if done, err = t.step(ctx); err != nil {
			if ctx.Err() != nil {
				break
			}
			return nil, err
		}
	}
	loads, err := w.session.end()
	if err != nil {
		return nil, err
	}
	t.finish(loads)
	return t.report, nil
}

// trial is a running trial.
type trial struct {
	cfg      TrialConfig
	world    *World
	report   *Report
	reloadAt []time.Duration
	levels   control.Levels // of the controls beside weights
	before   *arena.Score   // by the scenario's objective; nil: it has none
	tuned    *arena.Score
	tunedAt  time.Duration // end of the first interval that the policy decided on; 0 when there was none
}

// step plays one control interval and, once it is time, lets the policy decide on it.
func (t *trial) step(ctx context.Context) (done bool, err error) {
	iv, err := t.world.Step(ctx)
	if err != nil {
		return false, err
	}
	t.judge(&iv)
	row := Interval{AtS: iv.At.Seconds(), Weights: t.world.weights.Clone()}
	step := TrialStep{InForce: t.world.Weights()}
	if iv.Err == nil {
		step.Sample = &iv.Sample
	}
	defer func() {
		if t.cfg.OnStep != nil && err == nil {
			step.Reason, step.Reloaded = row.Reason, row.Reloaded
			t.cfg.OnStep(step)
		}
	}()
	switch {
	case iv.Err != nil:
		row.Reason, step.Problem = iv.Err.Error(), iv.Err.Error()
	case iv.At < t.cfg.TuneAt:
		step.Held = fmt.Sprintf("starting weights: measured until %.0f s", t.cfg.TuneAt.Seconds())
		t.cfg.Policy.Observe(iv.Sample, t.world.Weights())
	case !iv.Done:
		if t.tunedAt == 0 {
			t.tunedAt = iv.At
		}
		t.cfg.Policy.Observe(iv.Sample, t.world.Weights())
		d := t.cfg.Policy.Choose()
		row.Reason = d.Reason
		if err := t.setLevels(ctx, d); err != nil {
			return false, err
		}
		if len(d.Weights) == 0 {
			break
		}
		if err := arena.CheckWeights(t.cfg.Run.Scenario, d.Weights); err != nil {
			return false, fmt.Errorf("the policy's decision after %s: %w", iv.At, err)
		}
		receipt, err := t.world.SetWeights(ctx, d.Weights)
		if err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			t.report.ApplyErrors++
			t.report.LastApplyError = err
			row.Reason += ": " + err.Error()
		} else {
			receipt.Want, step.Changed = d.Weights, d.Weights
			t.cfg.Policy.Committed(receipt)
		}
		if receipt.Reloaded {
			row.Reloaded = true
			t.reloadAt = append(t.reloadAt, iv.At)
		}
	}
	t.report.Intervals = append(t.report.Intervals, row)
	if t.cfg.OnInterval != nil {
		row.Weights = t.world.weights.Clone()
		t.cfg.OnInterval(row)
	}
	return iv.Done, nil
}

// judge scores an interval by the objective of the scenario.
func (t *trial) judge(iv *arena.Interval) {
	switch began := iv.At - t.cfg.Run.Scenario.ControlInterval.Std(); {
	case t.before == nil:
	case t.tunedAt == 0:
		t.before.Add(iv, t.levels)
	case began >= t.tunedAt+t.cfg.Settle-t.cfg.Run.Scenario.ControlInterval.Std()/2:
		t.tuned.Add(iv, t.levels)
	}
}

// setLevels sets what a decision says of the controls beside weights.
func (t *trial) setLevels(ctx context.Context, d control.Decision) error {
	if d.Levels.Empty() {
		return nil
	}
	if err := t.world.SetLevels(ctx, d.Levels); err != nil {
		return fmt.Errorf("set levels: %w", err)
	}
	t.levels = t.levels.With(d.Levels)
	t.cfg.Policy.Committed(control.Receipt{Levels: d.Levels})
	return nil
}

// finish computes the report from what was seen.
func (t *trial) finish(loads *loadgen.Report) {
	rep, w := t.report, t.world
	rep.Requests, rep.Errors, rep.RatePerSec, rep.Latency = loads.Requests, loads.Errors, loads.RatePerS, loads.Latency
	rep.DurationS, rep.Interrupted = min(loads.DurationS, w.duration.Seconds()), loads.Interrupted
	rep.Saturated, rep.Dropped, rep.Lateness = loads.Saturated, loads.Dropped, loads.Lateness
	rep.Workloads = make(map[string]WorkloadReport)
	for _, l := range loads.Workloads {
		rep.Workloads[l.Name] = WorkloadReport{Requests: l.Requests, Errors: l.Errors, Latency: l.Latency,
			ErrorKinds: l.ErrorKinds}
	}
	health := w.session.poller.Health()
	rep.PollsFailed = health.Polls - health.Statuses
	rep.Weights = w.weights.Clone()
	rep.Reloads = len(t.reloadAt)

	end := time.Duration(rep.DurationS * float64(time.Second))
	tuneAt := t.tunedAt
	if tuneAt == 0 {
		tuneAt = end
	}
	settled := min(tuneAt+t.cfg.Settle, end)
	all := w.session.seen.sorted()
	rep.Before, rep.Transition = t.part(all, window{0, tuneAt}), t.part(all, window{tuneAt, settled})
	// The last requests may be due a moment after the end by the clock of the report.
	rep.Tuned = t.part(all, window{settled, end + time.Hour})
	rep.Tuned.ToS, rep.Tuned.RatePerSec = end.Seconds(), ratePerSec(rep.Tuned.Requests, end-settled)
	if t.before != nil {
		rep.Before.Objective, rep.Tuned.Objective = t.before.Row(), t.tuned.Row()
		rep.Objective = t.cfg.Run.Scenario.Objective.Kind
	}
	if rep.Before.Requests > 0 && rep.Tuned.Requests > 0 && rep.Tuned.Latency.P99 > 0 {
		rep.P99Ratio = rep.Before.Latency.P99 / rep.Tuned.Latency.P99
	}
	from := time.Duration(0)
	for i := range rep.Intervals {
		iv := &rep.Intervals[i]
		to := time.Duration(iv.AtS * float64(time.Second))
		sum := w.score.tally(within(all, window{from, to}))
		s := sum.latency.Summary()
		iv.RatePerSec, iv.P50, iv.P99, iv.Errors = ratePerSec(sum.requests, to-from), s.P50, s.P99, sum.errors
		from = to
	}
}

// part sums up the requests that were due in the window.
func (t *trial) part(all []seen, in window) Part {
	sum := t.world.score.tally(within(all, in))
	p := Part{
		FromS: in.from.Seconds(), ToS: in.to.Seconds(), Requests: sum.requests, Errors: sum.errors,
		Latency:    sum.latency.Summary(),
		RatePerSec: ratePerSec(sum.requests, in.to-in.from),
	}
	if sum.requests > 0 {
		p.ARTPerRequest = sum.tardiness / float64(sum.requests)
	}
	for _, at := range t.reloadAt {
		if in.holds(at) {
			p.Reloads++
		}
	}
	for i := range t.report.Intervals {
		if p.Weights == nil || t.report.Intervals[i].AtS <= in.to.Seconds() {
			p.Weights = t.report.Intervals[i].Weights
		}
	}
	return p
}

func ratePerSec(n uint64, span time.Duration) float64 {
	if span <= 0 {
		return 0
	}
	return float64(n) / span.Seconds()
}
