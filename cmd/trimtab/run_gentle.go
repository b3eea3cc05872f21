package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"trimtab/deathstarbench"
	"trimtab/loadgen"
	"trimtab/loadgen/arrival"
)

// The ramp that looks for the knee: steps of kneeStep, each kneeGrowth times the rate of the one before, from kneeFrom to kneeMost
// requests per second. At the knee the p99 of a step is kneeSlower times that of the first and kneeSlack more, or a hundredth fails.
const (
	kneeStep   = 2 * time.Second
	kneeGrowth = 1.6
	kneeFrom   = 20.0
	kneeMost   = 2000.0
	kneeSlower = 3.0
	kneeSlack  = 20.0 // ms
	kneeErrors = 0.01
)

// kneeShare is the part of the knee up to which the schedule draws the rate of each of the three workloads: together three quarters.
const kneeShare = 0.25

// knee is what the ramp found.
type knee struct {
	RatePerSec float64 // the highest that was answered as quickly as the first
	Why        string  // the ramp ended
}

func (k knee) String() string {
	return fmt.Sprintf("answers stay quick up to about %.0f/s (%s)", k.RatePerSec, k.Why)
}

// rates are the range for --random-rate.
func (k knee) rates() string {
	high := max(1, math.Floor(k.RatePerSec*kneeShare))
	return fmt.Sprintf("%g:%g", max(1, math.Floor(high/10)), high)
}

// findKnee ramps the mixed workload up until answers get slow, so that the load that follows does not overload the target.
func findKnee(ctx context.Context, e *env, target string, seed uint64) (knee, error) {
	return ramp(kneeMost, func(rate float64) (*loadgen.Report, error) {
		fmt.Fprintf(e.stderr, "looking for the knee: %.0f/s\n", rate)
		burst := loadgen.ScheduledBurst{Workload: deathstarbench.Mixed, Spec: arrival.Spec{Kind: arrival.Exp},
			RateSpec: loadgen.RateSpec{Rate: rate}, Duration: loadgen.Span(kneeStep), Seed: seed}
		schedule := &loadgen.Schedule{Seed: seed, Bursts: []loadgen.ScheduledBurst{burst}}
		what := loadTarget{target: target, workloadNames: []string{deathstarbench.Mixed}, users: deathstarbench.DefaultUsers,
			first: deathstarbench.DefaultFirstUser}
		workloads, err := what.workloads(schedule)
		if err != nil {
			return nil, err
		}
		attack, err := loadgen.New(loadgen.Config{Workloads: workloads})
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		report, err := attack.Run(ctx)
		if err == nil && report.Interrupted {
			err = withCode(exitInterrupted, errors.New("interrupted while looking for the knee: nothing was recorded"))
		}
		return report, err
	})
}

// ramp raises the rate step by step, each of which play sends, until answers get slow or the rate is at most.
func ramp(most float64, play func(rate float64) (*loadgen.Report, error)) (knee, error) {
	first, last := 0.0, 0.0
	for rate := kneeFrom; ; rate = min(most, rate*kneeGrowth) {
		r, err := play(rate)
		if err != nil {
			return knee{}, err
		}
		p99, failed := r.Latency.P99, float64(r.Errors)/max(1, float64(r.Requests))
		switch {
		case failed > kneeErrors && last == 0:
			return knee{}, fmt.Errorf("%.0f %% of the requests fail at %.0f/s already, for instance: %s: mend that first, or say --random-rate", 100*failed, rate, sampleOf(r))
		case failed > kneeErrors:
			return knee{last, fmt.Sprintf("at %.0f/s %.0f %% of the requests failed", rate, 100*failed)}, nil
		case last == 0:
			first = p99
		case p99 > kneeSlower*first+kneeSlack:
			return knee{last, fmt.Sprintf("at %.0f/s the p99 was %.0f ms, at %.0f/s %.0f ms", rate, p99, kneeFrom, first)}, nil
		case r.Saturated:
			return knee{last, fmt.Sprintf("at %.0f/s this machine sent late", rate)}, nil
		}
		if last = rate; rate >= most {
			return knee{last, "more was not tried"}, nil
		}
	}
}
