package arena

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
)

// playCell plays one policy over one scenario with one seed. A panic of the policy or of the world is its error, a
// *control.Panic.
func playCell(ctx context.Context, world World, name string, c Case, p Policy) (row Row, trace *Trace, score *pursued,
	err error) {
	if fault := control.Contain(func() { row, trace, score, err = playOnce(ctx, world, name, c, p) }); fault != nil {
		return Row{}, nil, nil, fault
	}
	return row, trace, score, err
}

func playOnce(ctx context.Context, world World, name string, c Case, p Policy) (Row, *Trace, *pursued, error) {
	began := time.Now()
	policy, err := p.New(ctx, c)
	if err != nil {
		return Row{}, nil, nil, err
	}
	run := Run{Scenario: c.Scenario, Method: p.Method, Seed: c.Seed, Deadlines: c.Deadlines}
	if s, ok := policy.(Starter); ok {
		run.Initial = s.Initial()
	}
	if err := world.Reset(ctx, run); err != nil {
		return Row{}, nil, nil, err
	}
	row := Row{Scenario: c.Scenario.Name, Policy: p.Name, World: name, Seed: c.Seed}
	trace := &Trace{Scenario: row.Scenario, Policy: row.Policy, World: name, Seed: c.Seed}
	loop := Loop{World: world, Policy: policy, Scenario: c.Scenario, Levels: StartingLevels(c.Scenario)}
	step := loop.Step
	var many *fleetLoop
	if len(c.Scenario.Balancers) > 1 {
		if many, err = newFleetLoop(ctx, world, c, p); err != nil {
			return Row{}, nil, nil, err
		}
		step = many.Step
	}
	score, err := newPursued(c.Scenario)
	if err != nil {
		return Row{}, nil, nil, err
	}
	for done := false; !done; {
		levels := loop.Levels
		iv, reason, err := step(ctx)
		if err != nil {
			return Row{}, nil, nil, err
		}
		done = iv.Done
		trace.Points = append(trace.Points, Point{
			AtSec: iv.At.Seconds(), Requests: iv.Client.Requests, Errors: iv.Client.Errors,
			ARTPerRequest: iv.Client.ART(),
			MeanMS:        msec(iv.Client.Mean), P99MS: msec(iv.Client.P99), Weights: world.Weights().Clone(),
			Reason: reason,
		})
		if score != nil {
			began := iv.At - c.Scenario.ControlInterval.Std()
			trace.Points[len(trace.Points)-1].Objective = score.add(&iv, levels,
				began >= c.Scenario.Warmup.Std()-c.Scenario.ControlInterval.Std()/2)
		}
	}
	row.Weights = trace.Points[len(trace.Points)-1].Weights
	r, err := world.Results(ctx)
	if err != nil {
		return Row{}, nil, nil, err
	}
	if r.Requests == 0 {
		return Row{}, nil, nil, errors.New("no request was due after the warm-up: is every rate 0?")
	}
	row.fill(c, r)
	if score != nil {
		score.row.Changes = loop.Changes
	}
	if many != nil {
		loop.Reloads = many.reloads
	}
	row.Reloads, row.Intervals, row.ElapsedSec = loop.Reloads, len(trace.Points), time.Since(began).Seconds()
	for _, q := range QuantileLevels() {
		trace.Quantiles = append(trace.Quantiles, msec(r.Latency.Quantile(q)))
	}
	return row, trace, score, nil
}

// StartingLevels are where the controls beside weights stand when a run begins.
func StartingLevels(sc *deathstarbench.Scenario) control.Levels {
	out := control.Levels{Capacity: map[string]int{}}
	for i := range sc.Servers {
		if sc.Servers[i].Capacity.Max > 0 {
			out.Capacity[sc.Servers[i].Name] = sc.Servers[i].Slots
		}
	}
	return out
}

func (r *Row) fill(c Case, results Results) {
	r.Requests, r.Errors = results.Requests, results.Errors
	r.ErrorRatio = float64(r.Errors) / float64(r.Requests)
	r.DurationSec = c.Scenario.Duration.Std().Seconds()
	r.RatePerSec = float64(r.Requests) / (c.Scenario.Duration - c.Scenario.Warmup).Std().Seconds()
	r.LatencyMS = latencyOf(results.Latency)
	r.ARTPerRequest = results.Tardiness / float64(r.Requests)
	for _, g := range results.Groups {
		row := GroupRow{Upstream: g.Upstream, Requests: g.Requests, Errors: g.Errors, LatencyMS: latencyOf(g.Latency),
			DeadlineMS: msec(c.Deadlines[g.Upstream]), Shares: make(map[string]float64, len(g.Servers))}
		if g.Requests > 0 {
			row.ARTPerRequest = g.Tardiness / float64(g.Requests)
		}
		attempts := uint64(0)
		for _, s := range g.Servers {
			attempts += s.Requests
		}
		for _, s := range g.Servers {
			if attempts > 0 {
				row.Shares[s.Server] = float64(s.Requests) / float64(attempts)
			}
		}
		r.Groups = append(r.Groups, row)
	}
}

// checkScenario refuses what no policy can play.
func checkScenario(sc *deathstarbench.Scenario) error {
	if err := sc.Validate(); err != nil {
		return fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	for _, l := range sc.Loads {
		for _, p := range l.Phases {
			if p.Rate > 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("scenario %s: every rate is 0: there is nothing to balance", sc.Name)
}
