package cluster

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// drawMixture draws n rows from k well-separated components with random covariances.
func drawMixture(n, d, k int, separation float64, seed uint64) (x *mat.Dense, labels []int, truth *Mixture) {
	rng := rand.New(rand.NewPCG(seed, 1))
	truth = newMixture(k, d, Full)
	factors := make([]*mat.Dense, k)
	for c := range k {
		truth.Weights[c] = 0.5 + rng.Float64()
		for j := range d {
			truth.Means[c*d+j] = separation * rng.NormFloat64()
		}
		f := mat.NewDense(d, d, nil)
		for i := range d {
			for j := range d {
				f.Set(i, j, 0.4*rng.NormFloat64()/math.Sqrt(float64(d)))
			}
			f.Set(i, i, f.At(i, i)+0.7)
		}
		factors[c] = f
		var s mat.Dense
		s.Mul(f, f.T())
		copy(truth.Covariances[c*d*d:], s.RawMatrix().Data)
	}
	var sum float64
	for _, w := range truth.Weights {
		sum += w
	}
	for c := range truth.Weights {
		truth.Weights[c] /= sum
	}
	x = mat.NewDense(n, d, nil)
	labels = make([]int, n)
	g := make([]float64, d)
	for i := range n {
		u, c := rng.Float64(), 0
		for c < k-1 && u > truth.Weights[c] {
			u -= truth.Weights[c]
			c++
		}
		labels[i] = c
		for j := range g {
			g[j] = rng.NormFloat64()
		}
		row := x.RawRowView(i)
		for a := range d {
			row[a] = truth.Means[c*d+a]
			for b := range d {
				row[a] += factors[c].At(a, b) * g[b]
			}
		}
	}
	if err := truth.prepare(); err != nil {
		panic(err)
	}
	return x, labels, truth
}

// A known mixture is found again: every true mean has a fitted one nearby, and the fit is at least as likely as the truth.
func TestFitRecovers(t *testing.T) {
	x, _, truth := drawMixture(4000, 4, 3, 5, 7)
	m, err := Fit(x, Settings{K: 3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(denseRows(x), make([]float64, 4), 3, Full, 1)
	want := e.pass(truth, false).logLikelihood / 4000
	if got := m.Fit.LogLikelihoodPerSample; got < want {
		t.Errorf("log-likelihood per sample: got %g, want at least the truth's %g", got, want)
	}
	for c := range 3 {
		nearest := math.Inf(1)
		for f := range 3 {
			var q float64
			for j := range 4 {
				q += math.Pow(truth.Mean(c)[j]-m.Mean(f)[j], 2)
			}
			nearest = min(nearest, math.Sqrt(q))
		}
		if nearest > 0.15 {
			t.Errorf("component %d: nearest fitted mean is %g away, want at most 0.15", c, nearest)
		}
	}
}

// The log-likelihood never decreases, whatever the shape of the covariances.
func TestLikelihoodNeverDecreases(t *testing.T) {
	x, _, _ := drawMixture(500, 3, 4, 1.5, 3)
	for _, c := range []Covariance{Full, Diag, Tied, Spherical} {
		m, err := Fit(x, Settings{K: 4, Covariance: c, Restarts: 1, Tolerance: -1, MaxIterations: 60})
		if err != nil {
			t.Fatal(c, err)
		}
		for i := 1; i < len(m.Fit.Trace); i++ {
			if m.Fit.Trace[i] < m.Fit.Trace[i-1]-1e-10 {
				t.Errorf("%s: iteration %d: %g after %g", c, i, m.Fit.Trace[i], m.Fit.Trace[i-1])
			}
		}
	}
}

// A model survives being written and read, and assigns as before.
func TestModelRoundTrip(t *testing.T) {
	x, _, _ := drawMixture(400, 6, 3, 4, 5)
	schema := Schema{Set: LoadFeatures, Groups: []GroupSchema{{Name: "a_backend"}}}
	for _, c := range []Covariance{Full, Diag, Tied, Spherical} {
		m, err := FitModel(t.Context(), schema, x, Settings{K: 3, Covariance: c})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		back, err := ReadModel(&b)
		if err != nil {
			t.Fatal(c, err)
		}
		w := m.NewWorkspace()
		for i := range 20 {
			if got, want := back.Assign(w, x.RawRowView(i)), m.Assign(w, x.RawRowView(i)); got != want {
				t.Errorf("%s row %d: got %+v, want %+v", c, i, got, want)
			}
		}
		if n := testing.AllocsPerRun(100, func() { m.Assign(w, x.RawRowView(0)) }); n != 0 {
			t.Errorf("%s: %g allocations per assignment, want 0", c, n)
		}
	}
}
