package cluster

import "gonum.org/v1/gonum/mat"

// clampEigenvalues returns the maximum-likelihood covariance under Σ ⪰ floor·I for the sample covariance s: s with
// its eigenvalues raised to floor. A matrix that does not touch the floor is returned unchanged. Because it is the
// constrained maximum, EM's log-likelihood still never decreases, as it could with a constant added to the diagonal.
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
		// Only NaN or infinity can defeat it, and the data were checked; the diagonal is the safe answer.
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

// floorCovariances raises the covariances of the marked components to the floor.
func (m *Mixture) floorCovariances(marked []bool, floor float64) {
	d := m.D
	switch m.Covariance {
	case Full, Tied:
		for k, on := range marked {
			if m.Covariance == Tied && k > 0 {
				return
			}
			if !on && m.Covariance == Full {
				continue
			}
			if s, touched := clampEigenvalues(m.CovarianceOf(k), floor); touched {
				store(m.Covariances[k*d*d:(k+1)*d*d], s)
			}
		}
	default:
		for i, v := range m.Covariances {
			m.Covariances[i] = max(v, floor)
		}
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
