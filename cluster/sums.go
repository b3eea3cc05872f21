package cluster

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// sums are the expected sufficient statistics of one E-step, relative to the means it was made with.
type sums struct {
	k, d          int
	covariance    Covariance
	count         []float64 // k: Σ r
	first         []float64 // k×d: Σ r (x−μ)
	second        []float64 // Σ r (x−μ)(x−μ)ᵀ: k×d×d lower triangles (full, tied) or k×d (diag, spherical)
	logLikelihood float64
	entropy       float64 // Σ −r log r
	worstRow      int     // the row with the least density, −1 before the first
	worstDensity  float64
}

func newSums(k, d int, c Covariance) *sums {
	a := &sums{k: k, d: d, covariance: c, count: make([]float64, k), first: make([]float64, k*d)}
	if c == Full || c == Tied {
		a.second = make([]float64, k*d*d)
	} else {
		a.second = make([]float64, k*d)
	}
	a.reset()
	return a
}

func (a *sums) reset() {
	clear(a.count)
	clear(a.first)
	clear(a.second)
	a.logLikelihood, a.entropy, a.worstRow, a.worstDensity = 0, 0, -1, math.Inf(1)
}

func (a *sums) add(b *sums) {
	for i, v := range b.count {
		a.count[i] += v
	}
	for i, v := range b.first {
		a.first[i] += v
	}
	for i, v := range b.second {
		a.second[i] += v
	}
	a.logLikelihood += b.logLikelihood
	a.entropy += b.entropy
	if b.worstRow >= 0 {
		a.worst(b.worstRow, b.worstDensity)
	}
}

func (a *sums) worst(row int, density float64) {
	if density < a.worstDensity {
		a.worstRow, a.worstDensity = row, density
	}
}

func (a *sums) addFirst(k int, resp float64, z []float64) {
	f := a.first[k*a.d : (k+1)*a.d]
	for j, v := range z {
		f[j] += resp * v
	}
}

// addSecond adds zᵀz, z being rows×d.
func (a *sums) addSecond(k int, z []float64, rows int) {
	d := a.d
	if a.covariance == Diag || a.covariance == Spherical {
		s := a.second[k*d : (k+1)*d]
		for r := range rows {
			for j, v := range z[r*d : (r+1)*d] {
				s[j] += v * v
			}
		}
		return
	}
	s := a.second[k*d*d : (k+1)*d*d]
	for r := range rows {
		row := z[r*d : (r+1)*d]
		for i, v := range row {
			t := s[i*d : i*d+i+1]
			for j := range t {
				t[j] += v * row[j]
			}
		}
	}
}

// maximise returns the mixture that maximises the expected log-likelihood subject to Σ ⪰ floor·I, the components
// whose covariance touches the floor, and those that hold less than one row in a million of a component's share.
func (a *sums) maximise(old *Mixture, floor float64) (m *Mixture, floored, empty []int) {
	k, d := a.k, a.d
	m = newMixture(k, d, a.covariance)
	var total float64
	for _, c := range a.count {
		total += c
	}
	delta := make([]float64, d)
	pooled := mat.NewSymDense(d, nil)
	for c := range k {
		n := a.count[c]
		m.Weights[c] = n / total
		copy(m.Mean(c), old.Mean(c))
		if n < emptyCount {
			empty = append(empty, c)
			m.Weights[c] = 0
			a.keep(m, old, c)
			continue
		}
		for j := range d {
			delta[j] = a.first[c*d+j] / n
			m.Means[c*d+j] += delta[j]
		}
		switch a.covariance {
		case Full:
			s := mat.NewSymDense(d, nil)
			for i := range d {
				for j := 0; j <= i; j++ {
					s.SetSym(i, j, a.second[(c*d+i)*d+j]/n-delta[i]*delta[j])
				}
			}
			s, touched := clampEigenvalues(s, floor)
			if touched {
				floored = append(floored, c)
			}
			store(m.Covariances[c*d*d:(c+1)*d*d], s)
		case Tied:
			for i := range d {
				for j := 0; j <= i; j++ {
					pooled.SetSym(i, j, pooled.At(i, j)+(a.second[(c*d+i)*d+j]-n*delta[i]*delta[j])/total)
				}
			}
		case Diag, Spherical:
			var mean float64
			touched := false
			for j := range d {
				v := a.second[c*d+j]/n - delta[j]*delta[j]
				mean += v / float64(d)
				if a.covariance == Diag {
					touched = touched || v <= floor
					m.Covariances[c*d+j] = max(v, floor)
				}
			}
			if a.covariance == Spherical {
				touched = mean <= floor
				m.Covariances[c] = max(mean, floor)
			}
			if touched {
				floored = append(floored, c)
			}
		}
	}
	if a.covariance == Tied {
		s, touched := clampEigenvalues(pooled, floor)
		if touched {
			for c := range k {
				floored = append(floored, c)
			}
		}
		store(m.Covariances, s)
	}
	return m, floored, empty
}

// emptyCount is the number of rows below which a component counts as empty: its parameters would be noise.
const emptyCount = 1e-3

// keep copies the covariance of an empty component.
func (a *sums) keep(m, old *Mixture, c int) {
	d := a.d
	switch a.covariance {
	case Full:
		copy(m.Covariances[c*d*d:(c+1)*d*d], old.Covariances[c*d*d:(c+1)*d*d])
	case Diag:
		copy(m.Covariances[c*d:(c+1)*d], old.Covariances[c*d:(c+1)*d])
	case Spherical:
		m.Covariances[c] = old.Covariances[c]
	}
}

// store writes s as a full row-major matrix.
func store(dst []float64, s *mat.SymDense) {
	d := s.SymmetricDim()
	for i := range d {
		for j := range d {
			dst[i*d+j] = s.At(i, j)
		}
	}
}

// clampEigenvalues returns the maximum-likelihood covariance under Σ ⪰ floor·I for the sample covariance s: s with
// its eigenvalues raised to floor. A matrix that does not touch the floor is returned unchanged.
func clampEigenvalues(s *mat.SymDense, floor float64) (clamped *mat.SymDense, touched bool) {
	d := s.SymmetricDim()
	shifted := mat.NewSymDense(d, nil)
	shifted.CopySym(s)
	for i := range d {
		shifted.SetSym(i, i, s.At(i, i)-floor)
	}
	var chol mat.Cholesky
	if chol.Factorize(shifted) {
		return s, false
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(s, true) {
		// Only NaN or infinity can defeat it, and the data were checked; the floor itself is the safe answer.
		for i := range d {
			for j := range i {
				s.SetSym(i, j, 0)
			}
			s.SetSym(i, i, max(s.At(i, i), floor))
		}
		return s, true
	}
	values := eigen.Values(nil)
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	out := mat.NewSymDense(d, nil)
	for i, v := range values {
		out.SymRankOne(out, max(v, floor), vectors.ColView(i))
	}
	return out, true
}
