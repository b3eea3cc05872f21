package cluster

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// startRows bounds the rows that a start is found on, and lloydRounds the refinement: EM does the rest.
const (
	startRows       = 1 << 16
	lloydRounds     = 20
	startCandidates = 3
	startIterations = 4
)

// MixtureFromMeans returns a mixture to start a fit of x, n×d, from: the given means, K×d, equal weights, and for
// every component the variances of the columns of x without covariances.
func MixtureFromMeans(x, means *mat.Dense, c Covariance) (*Mixture, error) {
	k, d := means.Dims()
	if _, have := x.Dims(); have != d {
		return nil, fmt.Errorf("means have %d features, the data %d", d, have)
	}
	m := newMixture(k, d, c)
	scale := FitScaler(x).Deviation
	var mean float64
	for j, sd := range scale {
		mean += sd * sd / float64(d)
		for comp := range k {
			m.Means[comp*d+j] = means.At(comp, j)
			switch c {
			case Full:
				m.Covariances[(comp*d+j)*d+j] = sd * sd
			case Diag:
				m.Covariances[comp*d+j] = sd * sd
			case Tied:
				m.Covariances[j*d+j] = sd * sd
			}
		}
	}
	for comp := range k {
		m.Weights[comp] = 1 / float64(k)
		if c == Spherical {
			m.Covariances[comp] = mean
		}
	}
	return m, m.prepare()
}

// start returns the mixture that EM begins with: of a few k-means starts the one that a few iterations of EM make
// most likely (the em-EM of Biernacki, Celeux and Govaert 2003).
func (e *engine) start(s Settings, restart int) (*Mixture, error) {
	rng := rand.New(rand.NewPCG(s.Seed, uint64(restart)))
	var best *Mixture
	most := math.Inf(-1)
	for range startCandidates {
		m, err := e.nearestMeans(s, rng)
		if err != nil {
			return nil, err
		}
		for range startIterations {
			m, _, _ = e.pass(m, false).maximise(m, s.Floor, e.prior)
			if err := m.prepare(); err != nil {
				return nil, err
			}
		}
		if ll := e.pass(m, false).logLikelihood; ll > most {
			most, best = ll, m
		}
	}
	return best, nil
}

// nearestMeans returns k-means++ (Arthur and Vassilvitskii 2007) refined by Lloyd's rounds on at most startRows
// rows, then one hard M-step on all rows.
func (e *engine) nearestMeans(s Settings, rng *rand.Rand) (*Mixture, error) {
	x := e.x
	if x.n > startRows {
		x = sample(x, startRows, rng)
	}
	centres := newMixture(s.K, x.d, Spherical)
	spread(centres, x, rng)
	for i := range centres.Covariances {
		centres.Covariances[i], centres.Weights[i] = 1, 1/float64(s.K)
	}
	if err := centres.prepare(); err != nil {
		return nil, err
	}
	k := newEngine(x, e.shift, s.K, Spherical, len(e.scratch))
	last := math.Inf(-1)
	for range lloydRounds {
		a := k.pass(centres, true)
		for c, n := range a.count {
			if n > 0 {
				for j := range x.d {
					centres.Means[c*x.d+j] += a.first[c*a.width+j] / n
				}
			}
		}
		if a.logLikelihood-last < 1e-4*math.Abs(a.logLikelihood) {
			break
		}
		last = a.logLikelihood
	}
	a := e.pass(centres, true)
	var total float64
	for c := range a.count {
		if a.count[c] < 1 { // no row is nearest: give it one row's weight at its seed
			a.count[c] = 1
		}
		total += a.count[c]
	}
	old := newMixture(s.K, x.d, s.Covariance)
	copy(old.Means, centres.Means)
	m, _, _ := a.maximise(old, s.Floor, e.prior)
	return m, m.prepare()
}

// spread chooses the means of m among the rows of x, each with probability proportional to its squared distance to
// the nearest one chosen so far, the best of a few candidates each time.
func spread(m *Mixture, x rowBlocks, rng *rand.Rand) {
	candidates := 2 + int(math.Log(float64(m.K)))
	nearest := make([]float64, x.n)
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	trial, best := make([]float64, x.n), make([]float64, x.n)
	copy(m.Mean(0), x.row(rng.IntN(x.n)))
	total := capDistances(nearest, nearest, x, m.Mean(0))
	for k := 1; k < m.K; k++ {
		bestTotal, bestRow := math.Inf(1), 0
		for range candidates {
			row := draw(nearest, total*rng.Float64(), rng)
			if t := capDistances(trial, nearest, x, x.row(row)); t < bestTotal {
				bestTotal, bestRow = t, row
				trial, best = best, trial
			}
		}
		nearest, best = best, nearest
		total = bestTotal
		copy(m.Mean(k), x.row(bestRow))
	}
}

// capDistances writes min(nearest, squared distance to centre) of every row and returns the sum.
func capDistances(dst, nearest []float64, x rowBlocks, centre []float64) float64 {
	var total float64
	for i := range dst {
		var q float64
		for j, v := range x.row(i) {
			q += (v - centre[j]) * (v - centre[j])
		}
		dst[i] = min(nearest[i], q)
		total += dst[i]
	}
	return total
}

// draw returns the row at which the running sum of distances passes u, or any row when all distances are 0.
func draw(distances []float64, u float64, rng *rand.Rand) int {
	for i, v := range distances {
		if u -= v; u < 0 {
			return i
		}
	}
	return rng.IntN(len(distances))
}

// sample returns n rows of x without replacement.
func sample(x rowBlocks, n int, rng *rand.Rand) rowBlocks {
	out := rowBlocks{data: make([]float64, n*x.d), n: n, d: x.d, stride: x.d}
	left := n
	for i := range x.n {
		if rng.IntN(x.n-i) < left {
			copy(out.row(n-left), x.row(i))
			left--
		}
	}
	return out
}

// reseed moves an empty component to the row that the mixture explains worst, with the average covariance of the
// others and the weight of one row.
func (e *engine) reseed(m *Mixture, a *sums, c int) {
	copy(m.Mean(c), e.x.row(a.worstRow))
	share := 1 / float64(e.x.n)
	for i := range m.Weights {
		m.Weights[i] *= 1 - share
	}
	m.Weights[c] = share
	if m.Covariance == Tied {
		return
	}
	size := len(m.Covariances) / m.K
	cov := m.Covariances[c*size : (c+1)*size]
	clear(cov)
	for k := range m.K {
		if k == c {
			continue
		}
		for i, v := range m.Covariances[k*size : (k+1)*size] {
			cov[i] += v / float64(m.K-1)
		}
	}
}
