package cluster

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// sums are the expected sufficient statistics of one E-step, relative to the means it was made with.
type sums struct {
	k, d, width int // width: padded d
	covariance  Covariance
	count       []float64 // k: Σ r
	first       []float64 // k×width: Σ r (x−μ)
	// second holds Σ r (x−μ)(x−μ)ᵀ: lower triangles in k×width×width (full) or, summed over components, width×width
	// (tied), or the diagonals, k×width (diag, spherical).
	second        []float64
	logLikelihood float64
	entropy       float64 // Σ −r log r
	worstRow      int     // the row with the least density, −1 before the first
	worstDensity  float64
}

func newSums(k, d int, c Covariance) *sums {
	w := padded(d)
	a := &sums{k: k, d: d, width: w, covariance: c, count: make([]float64, k), first: make([]float64, k*w)}
	switch c {
	case Full:
		a.second = make([]float64, k*w*w)
	case Tied:
		a.second = make([]float64, w*w)
	default:
		a.second = make([]float64, k*w)
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

// addSecond adds zᵀz of component k, z being rows×width.
func (a *sums) addSecond(kern kernel, k int, z []float64, rows int) {
	w := a.width
	switch a.covariance {
	case Full:
		kern.rank(a.second[k*w*w:(k+1)*w*w], z, rows, w)
	case Tied:
		kern.rank(a.second, z, rows, w)
	default:
		s := a.second[k*w : (k+1)*w]
		for r := range rows {
			for j, v := range z[r*w : (r+1)*w] {
				s[j] += v * v
			}
		}
	}
}

// maximise returns the mixture that maximises the expected log-likelihood subject to Σ ⪰ floor·I, the components
// whose covariance touches the floor, and those that are empty.
func (a *sums) maximise(old *Mixture, floor float64, p prior) (m *Mixture, floored, empty []int) {
	k, d, w := a.k, a.d, a.width
	m = newMixture(k, d, a.covariance)
	var total float64
	for _, c := range a.count {
		total += c
	}
	delta := make([]float64, d)
	var pooled *mat.SymDense
	if a.covariance == Tied {
		pooled = mat.NewSymDense(d, nil)
		for i := range d {
			for j := 0; j <= i; j++ {
				pooled.SetSym(i, j, a.second[i*w+j]/total)
			}
		}
	}
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
			delta[j] = a.first[c*w+j] / n
			m.Means[c*d+j] += delta[j]
		}
		switch a.covariance {
		case Full:
			s := mat.NewSymDense(d, nil)
			for i := range d {
				for j := 0; j <= i; j++ {
					s.SetSym(i, j, p.shrink(a.second[(c*w+i)*w+j]/n-delta[i]*delta[j], n, i, j))
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
					pooled.SetSym(i, j, pooled.At(i, j)-n/total*delta[i]*delta[j])
				}
			}
		case Diag, Spherical:
			var mean float64
			touched := false
			for j := range d {
				v := a.second[c*w+j]/n - delta[j]*delta[j]
				mean += v / float64(d)
				if a.covariance == Diag {
					v = p.shrink(v, n, j, j)
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

// prior is the covariance that components are shrunk to; the zero value shrinks nothing.
type prior struct {
	rows       float64
	covariance *mat.SymDense // nil: only variances are known
	variance   []float64
}

// shrink returns the shrunk element of the covariance of a component of n rows.
func (p prior) shrink(v, n float64, i, j int) float64 {
	if p.rows == 0 {
		return v
	}
	if p.covariance == nil {
		return (n*v + p.rows*p.variance[i]) / (n + p.rows)
	}
	return (n*v + p.rows*p.covariance.At(i, j)) / (n + p.rows)
}
