package prove

import (
	"errors"
	"fmt"
	"time"
)

// Measure is what is compared.
type Measure string

// The measures. The first three may decide.
const (
	P99      Measure = "p99"
	Mean     Measure = "mean"
	ART      Measure = "art"
	Errors   Measure = "errors"
	Used     Measure = "capacity_used"
	InFlight Measure = "in_flight"
)

// Plan says how the experiment is done. The zero value of a field means its default.
type Plan struct {
	Block    time.Duration `json:"block_ns"`    // measured part of a block; default 10 min
	WashOut  time.Duration `json:"wash_out_ns"` // before it, not measured; default 1 min; negative: none
	Duration time.Duration `json:"duration_ns"` // the experiment ends after so much time at the latest; default 6 h
	Measure  Measure       `json:"measure"`     // that decides: p99 (default), mean or art
	Alpha    float64       `json:"error_rate"`  // probability of finding what is not there, at any look; default 0.05
	// Margin is the relative difference that nobody minds; default 0.01, negative: none. A difference is found when the
	// interval holds nothing within it.
	Margin float64 `json:"margin"`
	// LeastRequests is what a block must hold to count; default 500, of which 5 are beyond p99. A block waits for them
	// up to three times its length.
	LeastRequests uint64 `json:"least_requests"`
	// LeastPairs is after how many pairs the experiment may end early; default 5.
	LeastPairs int `json:"least_pairs"`
	// Deadlines by upstream in ms, from which tardiness counts; one that is missing is learned from the first block on
	// the operator's weights.
	Deadlines map[string]float64 `json:"deadlines_ms,omitempty"`
}

// WithDefaults is the plan with every default filled in.
func (p Plan) WithDefaults() Plan {
	fill := func(to *time.Duration, v time.Duration) {
		if *to == 0 {
			*to = v
		}
	}
	fill(&p.Block, 10*time.Minute)
	fill(&p.WashOut, time.Minute)
	fill(&p.Duration, 6*time.Hour)
	if p.Measure == "" {
		p.Measure = P99
	}
	if p.Alpha == 0 {
		p.Alpha = 0.05
	}
	if p.Margin == 0 {
		p.Margin = 0.01
	}
	if p.LeastRequests == 0 {
		p.LeastRequests = 500
	}
	if p.LeastPairs == 0 {
		p.LeastPairs = 5
	}
	return p
}

// Validate reports every fault.
func (p Plan) Validate() error {
	p = p.WithDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(p.Block >= time.Second && p.Block <= 24*time.Hour, "block %v: want 1s to 24h", p.Block)
	check(p.WashOut <= p.Block, "wash_out %v: want at most the block, %v", p.WashOut, p.Block)
	check(p.Duration >= 2*(p.Block+p.washOut()), "duration %v: want at least two blocks with their wash-out, %v",
		p.Duration,
		2*(p.Block+p.washOut()))
	check(p.Duration <= 90*24*time.Hour, "duration %v: want at most 90 days", p.Duration)
	check(p.Measure == P99 || p.Measure == Mean || p.Measure == ART, "measure %q: want p99, mean or art", p.Measure)
	check(p.Alpha > 0 && p.Alpha <= 0.5, "error_rate %v: want more than 0, at most 0.5", p.Alpha)
	check(p.Margin < 0.5, "margin %v: want less than 0.5", p.Margin)
	check(p.LeastPairs >= 2, "least_pairs %d: want at least 2", p.LeastPairs)
	return errors.Join(errs...)
}

func (p Plan) washOut() time.Duration { return max(0, p.WashOut) }

// pairs is how many pairs of blocks the plan has room for.
func (p Plan) pairs() int { return int(p.Duration / (2 * (p.Block + p.washOut()))) }
