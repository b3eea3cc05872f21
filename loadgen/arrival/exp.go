package arrival

import "math/rand/v2"

// expGaps are exponential gaps: a Poisson process.
type expGaps struct{ rng *rand.Rand }

func (g *expGaps) Next() float64 { return g.rng.ExpFloat64() }
func (g *expGaps) CV() float64   { return 1 }
