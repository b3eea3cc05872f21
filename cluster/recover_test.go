package cluster

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// match pairs every true component with the nearest fitted mean; it fails when two share one.
func match(t *testing.T, truth, m *Mixture) []int {
	t.Helper()
	pairs, taken := make([]int, truth.K), map[int]bool{}
	for c := range truth.K {
		least := math.Inf(1)
		for f := range m.K {
			var q float64
			for j := range truth.D {
				q += math.Pow(truth.Mean(c)[j]-m.Mean(f)[j], 2)
			}
			if q < least {
				least, pairs[c] = q, f
			}
		}
		if taken[pairs[c]] {
			t.Fatalf("two true components are nearest to the fitted component %d", pairs[c])
		}
		taken[pairs[c]] = true
	}
	return pairs
}

// Over 20 seeds, 4000 rows of 4 well-separated components in 3 dimensions (about 1000 rows each, standard deviations
// near 0.8): the parameters come back within about five standard errors, the likelihood is at least that of the
// truth, every row finds its component, and the BIC finds K in at least 18.
func TestKnownMixtures(t *testing.T) {
	const n, d, k = 4000, 3, 4
	found := 0
	for seed := uint64(1); seed <= 20; seed++ {
		x, labels, truth := drawMixture(n, d, k, 6, seed)
		m, curve, err := ChooseK(t.Context(), x, Settings{Seed: seed, Restarts: 3}, 2, 6, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(curve) != 5 {
			t.Errorf("seed %d: %d points of the curve, want 5", seed, len(curve))
		}
		if m.K != k {
			t.Logf("seed %d: BIC chose %d components", seed, m.K)
			if m, err = Fit(x, Settings{K: k, Seed: seed}); err != nil {
				t.Fatal(err)
			}
		} else {
			found++
		}
		for c, f := range match(t, truth, m) {
			if got, want := m.Weights[f], truth.Weights[c]; math.Abs(got-want) > 0.04 {
				t.Errorf("seed %d: weight %g, want %g ± 0.04", seed, got, want)
			}
			for j := range d {
				if got, want := m.Mean(f)[j], truth.Mean(c)[j]; math.Abs(got-want) > 0.2 {
					t.Errorf("seed %d: mean %g, want %g ± 0.2", seed, got, want)
				}
				for i := range d {
					if got, want := m.CovarianceOf(f).At(i, j),
						truth.CovarianceOf(c).At(i, j); math.Abs(got-want) > 0.25 {
						t.Errorf("seed %d: covariance %g, want %g ± 0.25", seed, got, want)
					}
				}
			}
		}
		if want := evaluate(x, truth); m.Fit.LogLikelihoodPerSample < want-1e-6 {
			t.Errorf("seed %d: log-likelihood per row %g, the truth has %g", seed, m.Fit.LogLikelihoodPerSample, want)
		}
		ours, best := Agree(regimesOf(m, x), labels), Agree(regimesOf(truth, x), labels)
		if ours.AdjustedRand < best.AdjustedRand-0.01 {
			t.Errorf("seed %d: adjusted Rand %g, the truth reaches %g", seed, ours.AdjustedRand, best.AdjustedRand)
		}
	}
	if found < 18 {
		t.Errorf("BIC found K in %d of 20, want at least 18", found)
	}
}

func evaluate(x *mat.Dense, m *Mixture) float64 {
	n, d := x.Dims()
	return newEngine(denseRows(x), make([]float64, d), m.K, m.Covariance, 1).pass(m, false).logLikelihood / float64(n)
}

func regimesOf(m *Mixture, x *mat.Dense) []int {
	n, d := x.Dims()
	resp, c := make([]float64, m.K), make([]float64, d)
	regimes := make([]int, n)
	for i := range n {
		regimes[i] = m.assign(resp, c, x.RawRowView(i)).Regime
	}
	return regimes
}

// The log-likelihood never decreases from one iteration to the next, whatever the data: also with features that are
// constant, copies of each other or far from zero, where covariances rest on the floor.
func TestLikelihoodNeverDecreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, d := rapid.IntRange(20, 300).Draw(t, "rows"), rapid.IntRange(1, 5).Draw(t, "features")
		k := rapid.IntRange(1, 5).Draw(t, "components")
		x, _, _ := drawMixture(n, d, max(1, rapid.IntRange(1, 4).Draw(t, "true components")),
			rapid.Float64Range(0, 4).Draw(t, "separation"), rapid.Uint64().Draw(t, "seed"))
		spoiled := rapid.IntRange(0, d-1).Draw(t, "spoiled feature")
		how := rapid.SampledFrom([]string{"none", "constant", "copy", "far"}).Draw(t, "how")
		for i := range n {
			switch how {
			case "constant":
				x.Set(i, spoiled, 3)
			case "copy":
				x.Set(i, spoiled, x.At(i, 0))
			case "far":
				x.Set(i, spoiled, x.At(i, spoiled)+1e6)
			}
		}
		if how == "constant" && d == 1 {
			t.Skip("nothing varies")
		}
		c := rapid.SampledFrom([]Covariance{Full, Diag, Tied, Spherical}).Draw(t, "covariance")
		m, err := Fit(x, Settings{K: k, Covariance: c, Restarts: 1, Tolerance: -1, MaxIterations: 25})
		if err != nil {
			t.Fatal(err)
		}
		trace := append(m.Fit.Trace, m.Fit.LogLikelihoodPerSample)
		if m.Fit.Reseeded > 0 {
			return // moving an emptied component may cost likelihood
		}
		for i := 1; i < len(trace); i++ {
			if trace[i] < trace[i-1]-1e-7 {
				t.Errorf("iteration %d: %.12g after %.12g", i, trace[i], trace[i-1])
			}
		}
		for _, v := range append(append(append([]float64{m.Fit.BIC, m.Fit.ICL}, m.Weights...), m.Means...),
			m.Covariances...) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%g in the result", v)
			}
		}
	})
}

// Every number is the same to the last bit with one, two and five workers.
func TestWorkersDoNotMatter(t *testing.T) {
	x, _, _ := drawMixture(5000, 7, 5, 1.5, 3)
	for _, c := range []Covariance{Full, Diag, Tied, Spherical} {
		var first *Mixture
		for _, workers := range []int{1, 2, 5} {
			m, err := Fit(x, Settings{K: 5, Covariance: c, Restarts: 3, Workers: workers, PriorRows: 4})
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = m
				continue
			}
			for _, pair := range [][2][]float64{{m.Weights, first.Weights}, {m.Means, first.Means},
				{m.Covariances, first.Covariances}, {m.Fit.Trace, first.Fit.Trace}} {
				for i := range pair[0] {
					if pair[0][i] != pair[1][i] {
						t.Fatalf("%s, %d workers: element %d is %g, with one worker %g", c, workers, i, pair[0][i],
							pair[1][i])
					}
				}
			}
		}
	}
}

// A shrunk covariance lies between the component's own and the shared one.
func TestPriorRows(t *testing.T) {
	x, _, _ := drawMixture(60, 4, 3, 6, 2)
	volume := func(rows float64) float64 {
		m, err := Fit(x, Settings{K: 3, PriorRows: rows})
		if err != nil {
			t.Fatal(err)
		}
		var spread, low, high float64
		for c := range 3 {
			v := mat.Det(m.CovarianceOf(c))
			if c == 0 || v < low {
				low = v
			}
			high = max(high, v)
		}
		spread = high / low
		return spread
	}
	none, some, much := volume(-1), volume(20), volume(1e6)
	if !(none > some && some > much && much < 1.001) {
		t.Errorf("ratio of the largest to the smallest volume: got %g, %g, %g for 0, 20 and 10⁶ rows, want it "+
			"to fall to 1", none, some, much)
	}
}
