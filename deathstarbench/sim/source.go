package sim

import (
	"fmt"
	"math"
	"math/rand/v2"

	"trimtab/deathstarbench"
	"trimtab/loadgen/arrival"
)

// source is one load: when its requests arrive and how large they are.
type source struct {
	process *arrival.Process
	sizes   *rand.Rand
	due     int64 // of the next arrival; never: math.MaxInt64
	group   int32 // of the first balancer
	class   uint16
	routes  *rand.Rand // draws the balancer of a request, where there are several
}

const never = math.MaxInt64

// mix derives the n-th seed of a run from its seed (splitmix64).
func mix(seed, n uint64) uint64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// ArrivalSeed is the seed of the arrivals of a scenario's n-th load in a run with the given seed. Whoever sends real
// requests with it sends them when the simulator would.
func ArrivalSeed(seed uint64, n int) uint64 { return mix(seed, uint64(2*n)) }

func newSource(load deathstarbench.Traffic, n int, seed uint64) (source, error) {
	kind := arrival.Kind(load.Arrival)
	if kind == "" {
		kind = arrival.Exp
	}
	rate, err := arrival.Steps(points(load)...)
	if err != nil {
		return source{}, fmt.Errorf("load %s: %w", load.Workload, err)
	}
	process, err := arrival.New(kind, rate, ArrivalSeed(seed, n))
	if err != nil {
		return source{}, fmt.Errorf("load %s: %w", load.Workload, err)
	}
	s := source{process: process, sizes: rand.New(rand.NewPCG(mix(seed, uint64(2*n+1)), 0x5eed))}
	s.advance()
	return s, nil
}

// points are the phases of a load as points of its rate over time.
func points(load deathstarbench.Traffic) []arrival.Point {
	points := make([]arrival.Point, len(load.Phases))
	for i, p := range load.Phases {
		points[i] = arrival.Point{At: p.At.Std(), Rate: p.Rate}
	}
	return points
}

func (s *source) advance() {
	if due, ok := s.process.Next(); ok {
		s.due = int64(due)
	} else {
		s.due = never
	}
}
