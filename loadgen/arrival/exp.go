package arrival

import (
	"math"
	"math/rand/v2"
)

// expGaps are exponential gaps: a Poisson process.
type expGaps struct{ rng *rand.Rand }

func newExp(seed uint64) *expGaps { return &expGaps{rng: generator(seed)} }

func (g *expGaps) Next() float64 { return g.rng.ExpFloat64() }
func (g *expGaps) CV() float64   { return 1 }

func (g *expGaps) CDF(x float64) float64 {
	if x <= 0 {
		return 0
	}
	return -math.Expm1(-x)
}
