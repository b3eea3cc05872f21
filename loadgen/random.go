package loadgen

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"trimtab/loadgen/arrival"
)

// RandomSchedule draws schedules: each workload on its own alternates between a burst of random arrival, rate and
// duration and a pause of random length.
type RandomSchedule struct {
	Workloads  []string       // at least one
	Arrivals   []arrival.Kind // default: all
	MinRate    float64        // requests per second; default 100
	MaxRate    float64        // default 2000
	MinBurst   time.Duration  // default 30 s
	MaxBurst   time.Duration  // default 600 s
	MinBackOff time.Duration  // default 10 s
	MaxBackOff time.Duration  // default 100 s
	Total      time.Duration  // default 5 h; the last burst of each workload is cut there
	Seed       uint64
}

// WithDefaults returns a copy with the ranges of the older generator where none are given.
func (r RandomSchedule) WithDefaults() RandomSchedule {
	if len(r.Arrivals) == 0 {
		r.Arrivals = arrival.Kinds()
	}
	if r.MinRate == 0 && r.MaxRate == 0 {
		r.MinRate, r.MaxRate = 100, 2000
	}
	if r.MinBurst == 0 && r.MaxBurst == 0 {
		r.MinBurst, r.MaxBurst = 30*time.Second, 600*time.Second
	}
	if r.MinBackOff == 0 && r.MaxBackOff == 0 {
		r.MinBackOff, r.MaxBackOff = 10*time.Second, 100*time.Second
	}
	if r.Total == 0 {
		r.Total = 5 * time.Hour
	}
	return r
}

// Validate reports everything that is wrong.
func (r RandomSchedule) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("random schedule: "+format, args...))
		}
	}
	fault(len(r.Workloads) == 0, "no workload")
	for _, kind := range r.Arrivals {
		_, err := (arrival.Spec{Kind: kind}).Gaps(0)
		fault(err != nil, "%w", err)
	}
	fault(!(r.MinRate > 0 && r.MinRate <= r.MaxRate && r.MaxRate <= 1e6), "rate %g to %g: want a range above 0 "+
		"up to 1e6/s", r.MinRate, r.MaxRate)
	fault(r.MinBurst < time.Millisecond || r.MinBurst > r.MaxBurst, "burst %s to %s: want a range from 1ms on",
		r.MinBurst, r.MaxBurst)
	fault(r.MinBackOff < 0 || r.MinBackOff > r.MaxBackOff, "back-off %s to %s: want a range from 0 on", r.MinBackOff,
		r.MaxBackOff)
	fault(r.Total <= 0, "total %s: want more than 0", r.Total)
	fault(r.Total > 0 && r.MinBurst > 0 && r.Total/r.MinBurst > 1e5, "total %s in bursts of %s: want at most "+
		"100000 bursts", r.Total, r.MinBurst)
	return errors.Join(errs...)
}

// Draw draws the schedule. Each workload has its own stream of random numbers, derived from the seed and its name, so
// that leaving out one workload does not change the others. Rates are whole numbers and times whole milliseconds.
func (r RandomSchedule) Draw() (*Schedule, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return nil, err
	}
	s := &Schedule{Seed: r.Seed, Total: Span(r.Total)}
	for _, name := range r.Workloads {
		h := fnv.New64a()
		h.Write([]byte(name))
		rng := rand.New(rand.NewPCG(r.Seed, h.Sum64()))
		for at := time.Duration(0); at < r.Total; {
			b := ScheduledBurst{
				Workload: name,
				Spec:     arrival.Spec{Kind: r.Arrivals[rng.IntN(len(r.Arrivals))]},
				RateSpec: RateSpec{Rate: max(r.MinRate, math.Round(r.MinRate+rng.Float64()*(r.MaxRate-r.MinRate)))},
				Start:    Span(at),
				Duration: Span(between(rng, r.MinBurst, r.MaxBurst)),
				Seed:     seed53(rng),
			}
			pause := between(rng, r.MinBackOff, r.MaxBackOff)
			next := at + time.Duration(b.Duration) + pause
			b.Duration = min(b.Duration, Span(r.Total-at))
			s.Bursts = append(s.Bursts, b)
			at = next
		}
	}
	slices.SortStableFunc(s.Bursts, func(a, b ScheduledBurst) int { return int(min(1, max(-1, a.Start-b.Start))) })
	return s, nil
}

// between draws a duration between low and high in whole milliseconds.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return max(low, (low + time.Duration(rng.Float64()*float64(high-low))).Round(time.Millisecond))
}

// seed53 draws a seed of at most 53 bits, which TOML and JSON readers keep exactly, and which is not 0.
func seed53(rng *rand.Rand) uint64 { return max(1, rng.Uint64()>>11) }

// deriveSeed returns the n-th seed that follows from seed.
func deriveSeed(seed, n uint64) uint64 { return seed53(rand.New(rand.NewPCG(seed, n+1))) }
