package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"trimtab/arena/testbed"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/localhttp"
	"trimtab/page"
	"trimtab/plain"
	"trimtab/tuner"
	"trimtab/weights"
	"trimtab/words"
)

// runPage shows a run while it runs, on the page of the daemon, and keeps what it has shown for the report.
type runPage struct {
	recorder *page.Recorder
	policy   control.Policy
	name     string
	interval time.Duration
	started  weights.Set // the weights of the start, by group
	last     *tuner.Explanation
}

func newRunPage(f *runFlags, sc *deathstarbench.Scenario, policy control.Policy) *runPage {
	return &runPage{policy: policy, name: f.policy, interval: sc.ControlInterval.Std(), started: weights.Set{},
		recorder: page.NewRecorder(page.About{
			Title: "Trimtab: " + sc.Name + ", " + f.policy, Host: hostname(), Version: version, Command: f.command,
			Seed: f.seed})}
}

// step takes over a control interval.
func (p *runPage) step(s testbed.TrialStep) {
	for group, servers := range s.InForce {
		if p.started[group] == nil {
			p.started[group] = maps.Clone(servers)
		}
	}
	step := page.Step{Sample: s.Sample, InForce: s.InForce, Operator: p.started, Held: s.Held, Problem: s.Problem,
		Reason: s.Reason, Learner: p.name,
		Interval: p.interval, Changed: s.Changed, Cause: page.CauseTuner, Reloaded: s.Reloaded}
	if x, ok := p.policy.(interface{ Explain() tuner.Explanation }); ok && s.Held == "" {
		e := x.Explain()
		p.last = &e
		step.Explanation, step.Budget = &e, words.Budget{Left: e.Budget, Most: 6}
	}
	p.recorder.Step(step)
}

// why says why the weights at the end are what they are: the last change, and what is believed of the servers.
func (p *runPage) why(r *testbed.Report) string {
	var b strings.Builder
	for i := len(r.Intervals) - 1; i >= 0; i-- {
		if in := r.Intervals[i]; in.Reloaded {
			fmt.Fprintf(&b, "why these weights: changed last at %.0f s, %s\n", in.AtS, plain.Text(in.Reason))
			break
		}
	}
	if b.Len() == 0 {
		b.WriteString("why these weights: no change was worth making\n")
	}
	if p.last == nil {
		return b.String()
	}
	for i := range p.last.Pools {
		for j := range p.last.Pools[i].Servers {
			s := &p.last.Pools[i].Servers[j]
			name := s.Server
			for short, address := range r.Addresses {
				if address == s.Server {
					name = short
				}
			}
			fmt.Fprintf(&b, "  server %s: %s\n", plain.Text(name), words.Server(s))
		}
	}
	return b.String()
}

// serve serves the page when it is wanted, until stop is called.
func (p *runPage) serve(ctx context.Context, e *env, wanted bool) (stop func(), err error) {
	if !wanted {
		return func() {}, nil
	}
	l, err := localhttp.Listen(ctx, "127.0.0.1:0", localhttp.Limits{})
	if err != nil {
		return nil, err
	}
	server := localhttp.NewServer(page.Handler(p.recorder, page.Options{}), localhttp.Limits{})
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	fmt.Fprintf(e.stderr, "live page: http://%s/\n", l.Addr())
	return func() { _ = server.Close(); <-done }, nil
}

// runNames are what runValues knows.
func runNames() []string {
	return []string{"p50", "p90", "p99", "p999", "max", "mean", "errors", "rate", "art", "reloads"}
}

// runValues are the figures of the tuned part as --fail-if names them.
func runValues(r *testbed.Report) map[string]float64 {
	t := r.Tuned
	if t.Requests == 0 {
		return map[string]float64{}
	}
	l := t.Latency
	return map[string]float64{"p50": l.P50, "p90": l.P90, "p99": l.P99, "p999": l.P999, "max": l.Max, "mean": l.Mean,
		"errors": partOf(t.Errors, t.Requests),
		"rate":   t.RatePerSec, "art": t.ARTPerRequest, "reloads": float64(t.Reloads)}
}
