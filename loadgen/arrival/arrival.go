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
	// CDF is the probability of a gap of at most x, in theory.
	CDF(x float64) float64
}

// Rate is an arrival rate over time.
type Rate interface {
	// At returns the rate in requests per second at the offset t from the start, at least 0.
	At(t time.Duration) float64
	// Area returns the integral of the rate over the offsets [from, to] (in requests), at least 0.
	Area(from, to time.Duration) float64
	// After returns the offset at which the integral of the rate from the offset t reaches area (in requests);
	// ok is false when it never does.
	After(t time.Duration, area float64) (due time.Duration, ok bool)
}

// Process yields the due time of one arrival after the other. It is not safe for concurrent use.
type Process struct {
	gaps Gaps
	rate Rate
	last time.Duration
}

// New returns the process of the given kind with its default parameters that follows rate, seeded; the same seed gives
// the same arrivals.
func New(kind Kind, rate Rate, seed uint64) (*Process, error) {
	return Spec{Kind: kind}.Process(rate, seed)
}

// NewProcess returns the process that draws its gaps from gaps and follows rate.
func NewProcess(gaps Gaps, rate Rate) *Process { return &Process{gaps: gaps, rate: rate} }

// Next returns the offset from the start at which the next arrival is due; ok is false when there is none.
func (p *Process) Next() (due time.Duration, ok bool) {
	due, ok = p.rate.After(p.last, p.gaps.Next())
	if ok {
		p.last = due
	}
	return due, ok
}

// Gaps returns the law of the gaps in operational time; drawing from it advances the process.
func (p *Process) Gaps() Gaps { return p.gaps }

// Pace implements vegeta's Pacer: the wait until the next arrival is due. Each call takes one arrival.
func (p *Process) Pace(elapsed time.Duration, _ uint64) (wait time.Duration, stop bool) {
	due, ok := p.Next()
	if !ok {
		return 0, true
	}
	return max(0, due-elapsed), false
}

// Rate implements vegeta's Pacer: the rate in requests per second at the offset elapsed.
func (p *Process) Rate(elapsed time.Duration) float64 { return p.rate.At(elapsed) }

// generator returns the random generator of a seed; the second word keeps it apart from other users of the seed.
func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// offset converts an offset in seconds that lies beyond t; ok is false beyond the range of time.Duration (292 years).
func offset(t time.Duration, seconds float64) (time.Duration, bool) {
	ns := seconds * float64(time.Second)
	if !(ns < float64(1<<63-1)-float64(t)) {
		return 0, false
	}
	return t + time.Duration(ns+0.5), true
}

// checkRate returns an error unless perSecond is a finite rate of at least 0.
func checkRate(name string, perSecond float64) error {
	if !(perSecond >= 0 && perSecond <= maxRate) {
		return fmt.Errorf("%s %g/s: want a number from 0 to %g", name, perSecond, float64(maxRate))
	}
	return nil
}

// maxRate is the highest rate in requests per second: one per nanosecond.
const maxRate = 1e9

// Remaining returns the expected number of arrivals from the last one to the offset end.
func (p *Process) Remaining(end time.Duration) float64 {
	if end <= p.last {
		return 0
	}
	return p.rate.Area(p.last, end)
}
