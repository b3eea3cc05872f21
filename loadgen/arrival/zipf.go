package arrival

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// DefaultRanks and DefaultAlpha are the parameters of zipf gaps in DeathStarBench's wrk2.
const (
	DefaultRanks = 100
	DefaultAlpha = 3.0
)

// maxRanks bounds the table of a zipf law.
const maxRanks = 1 << 20

// zipfGaps are proportional to a rank k in 1…n that has probability ∝ k^−α, rescaled to mean 1. With n = 100 and
// α = 3, 83 % of the gaps are 0.735, the largest is 73.5 and the coefficient of variation is 1.154.
type zipfGaps struct {
	rng  *rand.Rand
	cdf  []float64 // by rank − 1
	unit float64   // gap of rank 1
	cv   float64
}

func newZipf(ranks int, alpha float64, seed uint64) (*zipfGaps, error) {
	if ranks < 1 || ranks > maxRanks {
		return nil, fmt.Errorf("zipf arrival with %d ranks: want 1 to %d", ranks, maxRanks)
	}
	if !(alpha > 0 && alpha <= 100) {
		return nil, fmt.Errorf("zipf arrival with alpha %g: want more than 0 and at most 100", alpha)
	}
	g := &zipfGaps{rng: generator(seed), cdf: make([]float64, ranks)}
	var sum, first, second float64    // Σ p, Σ k p, Σ k² p with p = k^−α
	for i := ranks - 1; i >= 0; i-- { // smallest terms first
		k := float64(i + 1)
		p := math.Pow(k, -alpha)
		sum += p
		first += k * p
		second += k * k * p
		g.cdf[i] = p
	}
	total := 0.0
	for i, p := range g.cdf {
		total += p / sum
		g.cdf[i] = total
	}
	g.cdf[ranks-1] = 1
	mean := first / sum
	g.unit = 1 / mean
	g.cv = math.Sqrt(max(0, second/sum/mean/mean-1))
	return g, nil
}

func (g *zipfGaps) Next() float64 {
	u := g.rng.Float64()
	if u < g.cdf[0] { // the usual case
		return g.unit
	}
	rank := 1 + sort.Search(len(g.cdf)-1, func(i int) bool { return u < g.cdf[i] })
	return float64(rank) * g.unit
}

func (g *zipfGaps) CV() float64 { return g.cv }

func (g *zipfGaps) CDF(x float64) float64 {
	rank := math.Floor(x/g.unit + 1e-9) // the largest rank whose gap is at most x
	if rank < 1 {
		return 0
	}
	return g.cdf[int(min(rank, float64(len(g.cdf))))-1]
}
