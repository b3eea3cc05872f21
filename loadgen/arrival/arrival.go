package arrival

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Gaps draws the gaps between consecutive arrivals, scaled to a mean of 1.
type Gaps interface {
	// Next returns the next gap, at least 0.
	Next() float64
	// CV is the coefficient of variation of the gaps in theory: standard deviation divided by mean.
	CV() float64
}

// Rate is an arrival rate over time.
type Rate interface {
	// At returns the rate in requests per second at the offset t from the start, at least 0.
	At(t time.Duration) float64
	// After returns the offset at which the integral of the rate from the offset t reaches area (in requests);
	// ok is false when it never does.
	After(t time.Duration, area float64) (due time.Duration, ok bool)
}

// Kind names an arrival process.
type Kind string

// The arrival processes.
const (
	Fixed Kind = "fixed"
	Exp   Kind = "exp"
	Norm  Kind = "norm"
	Zipf  Kind = "zipf"
)

// Process yields the due time of one arrival after the other. It is not safe for concurrent use.
type Process struct {
	gaps Gaps
	rate Rate
	last time.Duration
}

// New returns the process of the given kind that follows rate, seeded; the same seed gives the same arrivals.
func New(kind Kind, rate Rate, seed uint64) (*Process, error) {
	src := rand.NewPCG(seed, 0x9e3779b97f4a7c15)
	var gaps Gaps
	switch kind {
	case Exp:
		gaps = &expGaps{rng: rand.New(src)}
	default:
		return nil, fmt.Errorf("arrival %q: want fixed, exp, norm or zipf", kind)
	}
	return &Process{gaps: gaps, rate: rate}, nil
}

// Next returns the offset from the start at which the next arrival is due; ok is false when there is none.
func (p *Process) Next() (due time.Duration, ok bool) {
	due, ok = p.rate.After(p.last, p.gaps.Next())
	if ok {
		p.last = due
	}
	return due, ok
}
