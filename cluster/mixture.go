package cluster

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Mixture is a mixture of K Gaussians over d features: p(x) = Σ_k w_k N(x | μ_k, Σ_k).
type Mixture struct {
	K, D       int
	Covariance Covariance
	Weights    []float64 // K, sum to 1
	Means      []float64 // K×d, row-major
	// Covariances is row-major: K×d×d (full, symmetric), K×d (diag), d×d (tied) or K (spherical).
	Covariances []float64
	Fit         FitReport

	// What evaluating needs, derived from the above by prepare: inverse Cholesky factors as packed lower
	// triangles (row i holds its i+1 elements), or inverse standard deviations; and log w − ½ log|2πΣ|.
	whiten   []float64
	logScale []float64
}

// FitReport says how a mixture was fitted.
type FitReport struct {
	N                      int     `json:"n"`                         // rows
	LogLikelihoodPerSample float64 `json:"log_likelihood_per_sample"` // natural logarithm, of the final parameters
	BIC                    float64 `json:"bic"`                       // −2 log L + parameters · log n; lower is better
	AIC                    float64 `json:"aic"`                       // −2 log L + 2 · parameters
	// ICL is the integrated completed likelihood in BIC form, BIC + 2 · entropy of the responsibilities (Biernacki,
	// Celeux and Govaert 2000): it prefers components that do not overlap.
	ICL        float64 `json:"icl"`
	Iterations int     `json:"iterations"` // of the start that was kept
	Converged  bool    `json:"converged"`  // gained less than the tolerance before the iterations ran out
	Seed       uint64  `json:"seed"`
	Restart    int     `json:"restart"`  // which start was kept, from 0
	Reseeded   int     `json:"reseeded"` // times that an emptied component was moved to the worst explained row
	Floored    []int   `json:"floored"`  // components whose covariance touches the floor at the end
	// Trace is the log-likelihood per sample before each iteration of the start that was kept.
	Trace []float64 `json:"-"`
}

// newMixture returns a mixture with zero parameters.
func newMixture(k, d int, c Covariance) *Mixture {
	m := &Mixture{K: k, D: d, Covariance: c, Weights: make([]float64, k), Means: make([]float64, k*d)}
	m.Covariances = make([]float64, c.size(k, d))
	return m
}

func (c Covariance) size(k, d int) int {
	switch c {
	case Diag:
		return k * d
	case Tied:
		return d * d
	case Spherical:
		return k
	default:
		return k * d * d
	}
}

// triangular reports whether whitening takes a triangular matrix rather than one factor per feature.
func (m *Mixture) triangular() bool { return m.Covariance == Full || m.Covariance == Tied }

// Mean returns the mean of component k, a view of d elements.
func (m *Mixture) Mean(k int) []float64 { return m.Means[k*m.D : (k+1)*m.D] }

// CovarianceOf returns the covariance matrix of component k, d×d, whatever shape it is restricted to.
func (m *Mixture) CovarianceOf(k int) *mat.SymDense {
	d := m.D
	s := mat.NewSymDense(d, nil)
	switch m.Covariance {
	case Full, Tied:
		c := m.Covariances
		if m.Covariance == Full {
			c = c[k*d*d : (k+1)*d*d]
		}
		for i := range d {
			for j := i; j < d; j++ {
				s.SetSym(i, j, c[i*d+j])
			}
		}
	case Diag:
		for i := range d {
			s.SetSym(i, i, m.Covariances[k*d+i])
		}
	case Spherical:
		for i := range d {
			s.SetSym(i, i, m.Covariances[k])
		}
	}
	return s
}

// Validate reports whether the parameters describe a mixture: finite numbers, weights that sum to 1, covariances
// that are positive definite.
func (m *Mixture) Validate() error {
	if m.K < 1 || m.D < 1 {
		return fmt.Errorf("mixture of %d components in %d dimensions: want at least 1 of both", m.K, m.D)
	}
	if !m.Covariance.valid() {
		return fmt.Errorf("covariance %q: want full, diag, tied or spherical", m.Covariance)
	}
	for _, part := range []struct {
		name string
		got  []float64
		want int
	}{
		{"weights", m.Weights, m.K},
		{"means", m.Means, m.K * m.D},
		{"covariances", m.Covariances, m.Covariance.size(m.K, m.D)},
	} {
		if len(part.got) != part.want {
			return fmt.Errorf("%s: %d numbers, want %d", part.name, len(part.got), part.want)
		}
		for i, v := range part.got {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%s: element %d is %g", part.name, i, v)
			}
		}
	}
	var sum float64
	for k, w := range m.Weights {
		if w < 0 {
			return fmt.Errorf("weights: component %d has %g", k, w)
		}
		sum += w
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("weights: sum to %g, want 1", sum)
	}
	return m.prepare()
}

// prepare derives what evaluating needs from the parameters.
func (m *Mixture) prepare() error {
	k, d := m.K, m.D
	tri := d * (d + 1) / 2
	m.logScale = make([]float64, k)
	norm := float64(d) / 2 * math.Log(2*math.Pi)
	switch m.Covariance {
	case Full, Tied:
		m.whiten = make([]float64, k*tri)
		for c := range k {
			if c > 0 && m.Covariance == Tied {
				copy(m.whiten[c*tri:(c+1)*tri], m.whiten[:tri])
				m.logScale[c] = m.logScale[0]
				continue
			}
			logDet, err := invertCholesky(m.whiten[c*tri:(c+1)*tri], m.CovarianceOf(c))
			if err != nil {
				return fmt.Errorf("component %d: %w", c, err)
			}
			m.logScale[c] = -norm - logDet/2
		}
	case Diag, Spherical:
		m.whiten = make([]float64, k*d)
		for c := range k {
			var logDet float64
			for i := range d {
				v := m.Covariances[c]
				if m.Covariance == Diag {
					v = m.Covariances[c*d+i]
				}
				if !(v > 0) {
					return fmt.Errorf("component %d: variance %g of feature %d is not positive", c, v, i)
				}
				m.whiten[c*d+i] = 1 / math.Sqrt(v)
				logDet += math.Log(v)
			}
			m.logScale[c] = -norm - logDet/2
		}
	}
	for c, w := range m.Weights {
		m.logScale[c] += math.Log(w) // −∞ for an empty component: it never wins and never contributes
	}
	return nil
}

// invertCholesky writes L⁻¹ of s = LLᵀ as a packed lower triangle and returns log|s|.
func invertCholesky(dst []float64, s *mat.SymDense) (logDet float64, err error) {
	var chol mat.Cholesky
	if !chol.Factorize(s) {
		return 0, fmt.Errorf("covariance is not positive definite")
	}
	var l, inv mat.TriDense
	chol.LTo(&l)
	if err := inv.InverseTri(&l); err != nil {
		if ill := mat.Condition(0); !errors.As(err, &ill) {
			return 0, fmt.Errorf("invert Cholesky factor: %w", err)
		}
	}
	d := s.SymmetricDim()
	at := 0
	for i := range d {
		for j := 0; j <= i; j++ {
			dst[at] = inv.At(i, j)
			at++
		}
	}
	return chol.LogDet(), nil
}

// reordered returns m with component order[k] in the place of k.
func (m *Mixture) reordered(order []int) *Mixture {
	out := m.clone()
	size := len(m.Covariances) / m.K
	place := make([]int, m.K)
	for k, from := range order {
		place[from] = k
		out.Weights[k] = m.Weights[from]
		copy(out.Mean(k), m.Mean(from))
		if m.Covariance != Tied {
			copy(out.Covariances[k*size:(k+1)*size], m.Covariances[from*size:(from+1)*size])
		}
	}
	out.Fit.Floored = nil
	for _, k := range m.Fit.Floored {
		out.Fit.Floored = append(out.Fit.Floored, place[k])
	}
	slices.Sort(out.Fit.Floored)
	return out
}
