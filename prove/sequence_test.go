package prove

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The factors against the Bayes factor of the t test that they come from, worked out numerically.
func TestSequenceInvertsTheBayesFactor(t *testing.T) {
	for _, c := range []struct {
		name  string
		n     int
		alpha float64
	}{
		{"a handful of pairs", 6, 0.05}, {"a day of pairs", 60, 0.05}, {"many pairs", 2000, 0.05},
		{"a stricter rate", 40, 0.001},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sequence(c.n, c.alpha)
			nu, a := float64(c.n-1), 1+float64(c.n)
			bayes := func(x float64) float64 {
				return math.Pow(a, -0.5) * math.Pow((1+x*x/nu)/(1+x*x/(a*nu)), (nu+1)/2)
			}
			if b := bayes(got); math.Abs(b*c.alpha-1) > 1e-9 {
				t.Errorf("the Bayes factor at t = %v is %v, want %v", got, b, 1/c.alpha)
			}
		})
	}
	for _, n := range []int{0, 1, 2} {
		if got := sequence(n, 0.05); !math.IsInf(got, 1) {
			t.Errorf("%d pairs: got %v, want no interval", n, got)
		}
	}
}

// Looking after every pair and stopping at the first exclusion is wrong in at most 5 of 100, also when pairs are
// correlated.
func TestSequenceHoldsAtEveryLook(t *testing.T) {
	for _, c := range []struct {
		name string
		rho  float64 // of pairs that follow each other
	}{{"independent pairs", 0}, {"correlated pairs", 0.3}, {"pairs that alternate", -0.3}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const runs, pairs = 2000, 60
			wrong := 0
			rng := rand.New(rand.NewPCG(7, 8))
			for range runs {
				x, last := make([]float64, 0, pairs), 0.0
				for len(x) < pairs {
					last = c.rho*last + math.Sqrt(1-c.rho*c.rho)*rng.NormFloat64()
					x = append(x, last)
					if len(x) < 5 {
						continue
					}
					mean, sd := spread(x)
					if math.Abs(mean) > sequence(len(x), 0.05)*sd/math.Sqrt(float64(len(x))) {
						wrong++
						break
					}
				}
			}
			if share := float64(wrong) / runs; share > 0.05 {
				t.Errorf("%.1f %% of experiments without an effect find one, want at most 5 %%", 100*share)
			} else {
				t.Logf("%.2f %% of %d experiments without an effect find one in %d looks", 100*share, runs, pairs-4)
			}
		})
	}
}
