package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"trimtab/deathstarbench"
	"trimtab/loadgen/arrival"
)

// source is one load: when its requests arrive and how large they are.
type source struct {
	process *arrival.Process
	sizes   *rand.Rand
	due     int64 // of the next arrival; never: math.MaxInt64
	group   int32
	class   uint16
}

const never = math.MaxInt64

// mix derives the n-th seed of a run from its seed (splitmix64).
func mix(seed, n uint64) uint64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func newSource(load deathstarbench.Traffic, n int, seed uint64) (source, error) {
	kind := arrival.Kind(load.Arrival)
	if kind == "" {
		kind = arrival.Exp
	}
	rate := &phases{}
	for i, p := range load.Phases {
		switch {
		case math.IsNaN(p.Rate) || math.IsInf(p.Rate, 0) || p.Rate < 0:
			return source{}, fmt.Errorf("load %s: phase %d: rate %v: want at least 0", load.Workload, i+1, p.Rate)
		case i > 0 && p.At <= load.Phases[i-1].At:
			return source{}, fmt.Errorf("load %s: phase %d: begins at %v, not after the one before", load.Workload, i+1, p.At.Std())
		}
		rate.at = append(rate.at, p.At.Std())
		rate.perSec = append(rate.perSec, p.Rate)
	}
	process, err := arrival.New(kind, rate, mix(seed, uint64(2*n)))
	if err != nil {
		return source{}, fmt.Errorf("load %s: %w", load.Workload, err)
	}
	s := source{process: process, sizes: rand.New(rand.NewPCG(mix(seed, uint64(2*n+1)), 0x5eed))}
	s.advance()
	return s, nil
}

func (s *source) advance() {
	if due, ok := s.process.Next(); ok {
		s.due = int64(due)
	} else {
		s.due = never
	}
}

// phases is a rate that is constant between given times; before the first one it is 0. It implements arrival.Rate,
// and remembers where it was: the offsets that it is asked for must not decrease.
type phases struct {
	at     []time.Duration
	perSec []float64
	last   int
}

var _ arrival.Rate = (*phases)(nil)

func (p *phases) index(t time.Duration) int {
	if p.last < len(p.at) && p.at[p.last] > t {
		p.last = 0
	}
	for p.last+1 < len(p.at) && p.at[p.last+1] <= t {
		p.last++
	}
	return p.last
}

func (p *phases) At(t time.Duration) float64 {
	if len(p.at) == 0 || t < p.at[0] {
		return 0
	}
	return p.perSec[p.index(t)]
}

func (p *phases) After(t time.Duration, area float64) (time.Duration, bool) {
	if len(p.at) == 0 {
		return 0, false
	}
	t = max(t, p.at[0])
	for i := p.index(t); ; i++ {
		rate := p.perSec[i]
		if i+1 == len(p.at) {
			if rate <= 0 {
				return 0, false
			}
			return t + time.Duration(area/rate*1e9), true
		}
		if here := (p.at[i+1] - t).Seconds() * rate; area < here {
			return t + time.Duration(area/rate*1e9), true
		} else {
			area -= here
		}
		t = p.at[i+1]
	}
}
