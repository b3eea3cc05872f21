package cluster

import (
	"bytes"
	"context"
	"errors"
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

// Data that no mixture can be fitted to are refused in words, never with NaN.
func TestFitRefuses(t *testing.T) {
	x, _, _ := drawMixture(50, 2, 2, 3, 1)
	with := func(v float64) *mat.Dense {
		y := mat.DenseCopyOf(x)
		y.Set(6, 1, v)
		return y
	}
	for _, c := range []struct {
		x    *mat.Dense
		s    Settings
		want string
	}{
		// one row => no mixture
		{mat.NewDense(1, 2, nil), Settings{K: 1}, "1 row: a mixture needs at least 2"},
		// more components than rows => says how many rows are needed
		{x, Settings{K: 51}, "50 rows for 51 components: need at least 51 rows, or a smaller k"},
		// duplicates only => nothing to tell apart
		{mat.NewDense(30, 3, nil), Settings{K: 2}, "all 30 rows are equal: nothing to tell apart"},
		// not a number => where
		{with(math.NaN()), Settings{K: 2}, "row 7, column 2: NaN is not a finite number"},
		// infinite => where
		{with(math.Inf(-1)), Settings{K: 2}, "row 7, column 2: -Inf is not a finite number"},
		// settings out of range => all of them
		{x, Settings{K: -1, Covariance: "round", Restarts: -2}, "k -1: want at least 1\ncovariance \"round\": want " +
			"full, diag, tied or spherical\nrestarts -2: want at least 1"},
		// a start of other dimensions => both numbers
		{x, Settings{Start: newMixture(2, 3, Full)}, "start has 3 features, the data 2"},
		// a start that is no mixture => why
		{x, Settings{Start: newMixture(2, 2, Full)}, "start: weights: sum to 0, want 1"},
	} {
		if _, err := Fit(c.x, c.s); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// A handful of distinct rows repeated, with as many components as there are: the floor carries it, and says so.
func TestFitDuplicates(t *testing.T) {
	x := mat.NewDense(90, 2, nil)
	for i := range 90 {
		x.Set(i, 0, float64(i%3)*4)
	}
	m, err := Fit(x, Settings{K: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Fit.Floored) != 3 {
		t.Errorf("components on the floor: got %v, want all three", m.Fit.Floored)
	}
	for k := range 3 {
		if math.Abs(m.Weights[k]-1.0/3) > 1e-9 || math.Abs(m.CovarianceOf(k).At(0, 0)-1e-6) > 1e-12 {
			t.Errorf("component %d: weight %g, variance %g, want a third and the floor", k, m.Weights[k],
				m.CovarianceOf(k).At(0, 0))
		}
	}
	if _, err := Fit(x, Settings{K: 7}); err != nil {
		t.Errorf("more components than distinct rows: %v", err)
	}
}

// A cancelled fit ends with the context's error.
func TestFitCancelled(t *testing.T) {
	x, _, _ := drawMixture(500, 2, 2, 3, 1)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := FitContext(ctx, x, Settings{K: 2, Tolerance: -1, Progress: func(Progress) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
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
