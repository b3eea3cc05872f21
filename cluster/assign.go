package cluster

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat/distuv"
)

// Assignment says which regime an interval belongs to.
type Assignment struct {
	Regime      int     // the most probable component
	Probability float64 // its responsibility, 0…1
	LogDensity  float64 // log p of the standardised features, all components together
	Distance2   float64 // squared Mahalanobis distance to the nearest component
	Novel       bool    // outside every component's ellipsoid: like nothing the model was fitted to
}

// Workspace is what an assignment needs besides the model; one per goroutine.
type Workspace struct {
	// Responsibilities of the last assignment, K, sum to 1.
	Responsibilities []float64
	z, c             []float64
}

// NewWorkspace returns a workspace for m.
func (m *Model) NewWorkspace() *Workspace {
	return &Workspace{
		Responsibilities: make([]float64, m.Mixture.K),
		z:                make([]float64, m.Mixture.D),
		c:                make([]float64, m.Mixture.D),
	}
}

// Assign says which regime features, as Schema.FeaturesTo gives them, belong to. It does not allocate.
func (m *Model) Assign(w *Workspace, features []float64) Assignment {
	if len(features) != m.Mixture.D {
		panic(fmt.Sprintf("cluster: %d features for a model of %d", len(features), m.Mixture.D))
	}
	m.Scaler.TransformTo(w.z, features)
	a := m.Mixture.assign(w.Responsibilities, w.c, w.z)
	a.Novel = a.Distance2 > m.noveltyLimit
	return a
}

// assign evaluates the mixture at z; resp has K elements and c is scratch of D. A component is given up as soon as
// it is certain that it is neither the nearest nor has a responsibility that adding it to the others would not
// round away; its responsibility is 0.
func (m *Mixture) assign(resp, c, z []float64) Assignment {
	a := Assignment{Distance2: math.Inf(1)}
	best := math.Inf(-1)
	for k := range m.K {
		if m.Weights[k] == 0 {
			resp[k] = math.Inf(-1)
			continue
		}
		limit := max(a.Distance2, 2*(m.logScale[k]-best-logNegligible))
		q := m.distance2(k, c, z, limit)
		if q > limit {
			resp[k] = math.Inf(-1)
			continue
		}
		a.Distance2 = min(a.Distance2, q)
		resp[k] = m.logScale[k] - q/2
		if resp[k] > best {
			best, a.Regime = resp[k], k
		}
	}
	var sum float64
	for k, v := range resp {
		resp[k] = math.Exp(v - best)
		sum += resp[k]
	}
	for k := range resp {
		resp[k] /= sum
	}
	a.Probability, a.LogDensity = resp[a.Regime], best+math.Log(sum)
	return a
}

// distance2 is the squared Mahalanobis distance of z to component k, or any number above limit if it is above
// limit; c is scratch.
func (m *Mixture) distance2(k int, c, z []float64, limit float64) float64 {
	d := m.D
	var q float64
	if !m.triangular() {
		for j, mu := range m.Mean(k) {
			v := (z[j] - mu) * m.whiten[k*d+j]
			q += v * v
		}
		return q
	}
	for j, mu := range m.Mean(k) {
		c[j] = z[j] - mu
	}
	tri := d * (d + 1) / 2
	p := m.whiten[k*tri : (k+1)*tri]
	for i := 0; i < d && q <= limit; i++ {
		y := floats.Dot(p[:i+1], c[:i+1])
		p = p[i+1:]
		q += y * y
	}
	return q
}

// noveltyLimit is the chi-square quantile with d degrees of freedom: squared Mahalanobis distances of points of a
// Gaussian component are so distributed.
func noveltyLimit(p float64, d int) float64 {
	return distuv.ChiSquared{K: float64(d)}.Quantile(p)
}
