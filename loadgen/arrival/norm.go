package arrival

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// DefaultCV is the coefficient of variation of norm gaps when none is given.
const DefaultCV = 0.3

// MaxCV is the highest coefficient of variation of norm gaps: that of a normal law with mean 0 truncated at 0,
// √(π/2−1) ≈ 0.756, rounded down. Beyond it most draws would be thrown away.
const MaxCV = 0.75

// normGaps are normal gaps truncated at 0, with mean 1 and the given coefficient of variation after the truncation.
type normGaps struct {
	rng       *rand.Rand
	mu, sigma float64 // of the normal law before the truncation
	cv        float64
	below     float64 // probability below 0 before the truncation
}

func newNorm(cv float64, seed uint64) (*normGaps, error) {
	if !(cv > 0 && cv <= MaxCV) {
		return nil, fmt.Errorf("norm arrival with cv %g: want more than 0 and at most %g", cv, MaxCV)
	}
	mu, sigma := truncatedNormal(cv)
	return &normGaps{rng: generator(seed), mu: mu, sigma: sigma, cv: cv, below: distuv.UnitNormal.CDF(-mu / sigma)}, nil
}

// truncatedNormal returns the mean and deviation of the normal law that has mean 1 and coefficient of variation cv
// when it is truncated to [0, ∞). With a = −μ/σ and h = φ(a)/(1−Φ(a)) the truncated law has mean σ(h−a) and variance
// σ²(1+ah−h²) (Johnson, Kotz and Balakrishnan 1994, section 13.10.1), so that a follows from cv alone, by bisection,
// and σ from the mean.
func truncatedNormal(cv float64) (mu, sigma float64) {
	moments := func(a float64) (mean, deviation float64) {
		h := distuv.UnitNormal.Prob(a) / distuv.UnitNormal.Survival(a)
		return h - a, math.Sqrt(1 + a*h - h*h)
	}
	low, high := -2/cv, 0.0 // the coefficient of variation grows with a
	for range 100 {
		mid := (low + high) / 2
		if mean, deviation := moments(mid); deviation < cv*mean {
			low = mid
		} else {
			high = mid
		}
	}
	a := (low + high) / 2
	mean, _ := moments(a)
	return -a / mean, 1 / mean
}

func (g *normGaps) Next() float64 {
	for {
		if x := g.mu + g.sigma*g.rng.NormFloat64(); x >= 0 {
			return x
		}
	}
}

func (g *normGaps) CV() float64 { return g.cv }

func (g *normGaps) CDF(x float64) float64 {
	if x <= 0 {
		return 0
	}
	return (distuv.UnitNormal.CDF((x-g.mu)/g.sigma) - g.below) / (1 - g.below)
}
