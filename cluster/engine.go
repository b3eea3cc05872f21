package cluster

import (
	"math"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"
)

// lanes is the number of rows that are worked on at once: a block is stored feature by feature, so that the
// innermost loops run over rows.
const lanes = 64

// maxChunks bounds the partial sums of a pass. The partition into chunks depends on the number of rows only and
// the partial sums are added in order: results do not depend on the number of workers.
const maxChunks = 16

// negligible is the responsibility below which a row is left out of a component's sums: 2⁻⁶⁰ of a row is lost in
// the rounding of the sums anyway.
const negligible = 0x1p-60

// rowBlocks is n×d data, row-major with a stride.
type rowBlocks struct {
	data         []float64
	n, d, stride int
}

func denseRows(x *mat.Dense) rowBlocks {
	raw := x.RawMatrix()
	return rowBlocks{data: raw.Data, n: raw.Rows, d: raw.Cols, stride: raw.Stride}
}

func (r rowBlocks) row(i int) []float64 { return r.data[i*r.stride : i*r.stride+r.d] }

// engine makes passes over data: the E-step of a mixture and the sums that its M-step needs, fused, so that no
// n×k matrix exists.
type engine struct {
	x          rowBlocks
	k          int
	covariance Covariance
	workers    int
	chunks     []*sums
	scratch    []*scratch
}

func newEngine(x rowBlocks, k int, c Covariance, workers int) *engine {
	e := &engine{x: x, k: k, covariance: c, workers: workers}
	blocks := (x.n + lanes - 1) / lanes
	for range min(maxChunks, blocks) {
		e.chunks = append(e.chunks, newSums(k, x.d, c))
	}
	for range workers {
		e.scratch = append(e.scratch, newScratch(k, x.d))
	}
	return e
}

// pass evaluates m on every row and returns the sums; they are valid until the next pass. With nearest, every row
// belongs wholly to the component with the nearest mean instead of by responsibility.
func (e *engine) pass(m *Mixture, nearest bool) *sums {
	blocks := (e.x.n + lanes - 1) / lanes
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range min(e.workers, len(e.chunks)) {
		wg.Go(func() {
			for {
				c := int(next.Add(1)) - 1
				if c >= len(e.chunks) {
					return
				}
				e.chunks[c].reset()
				from, to := c*blocks/len(e.chunks), (c+1)*blocks/len(e.chunks)
				for b := from; b < to; b++ {
					first := b * lanes
					e.scratch[w].block(e.chunks[c], m, e.x, first, min(lanes, e.x.n-first), nearest)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range e.chunks[1:] {
		e.chunks[0].add(c)
	}
	return e.chunks[0]
}

// scratch is what one worker needs besides the data and the sums.
type scratch struct {
	xt   []float64 // d×lanes: the block, feature by feature
	xc   []float64 // d×lanes: the block minus a mean
	y    []float64 // lanes
	logp []float64 // k×lanes: log w_k N(x|k), then responsibilities
	best []float64 // lanes: the largest of a row's logp
	sum  []float64 // lanes
	z    []float64 // lanes×d: rows minus the mean, times √responsibility
}

func newScratch(k, d int) *scratch {
	return &scratch{
		xt: make([]float64, d*lanes), xc: make([]float64, d*lanes), y: make([]float64, lanes),
		logp: make([]float64, k*lanes), best: make([]float64, lanes), sum: make([]float64, lanes),
		z: make([]float64, lanes*d),
	}
}

// block adds rows first…first+n−1, at most lanes, to the sums.
func (s *scratch) block(a *sums, m *Mixture, x rowBlocks, first, n int, nearest bool) {
	d := x.d
	for r := range n {
		for j, v := range x.row(first + r) {
			s.xt[j*lanes+r] = v
		}
	}
	for k := range m.K {
		q := s.logp[k*lanes : (k+1)*lanes]
		s.distances(q, m, k, nearest)
		scale := m.logScale[k]
		if nearest {
			scale = 0
		}
		for r := range q {
			q[r] = scale - q[r]/2
		}
	}
	s.normalise(a, m.K, n, first, nearest)
	for k := range m.K {
		mean := m.Mean(k)
		rows := 0
		var total float64
		for r, resp := range s.logp[k*lanes : k*lanes+n] {
			if resp < negligible {
				continue
			}
			total += resp
			root := math.Sqrt(resp)
			z := s.z[rows*d : (rows+1)*d]
			for j, v := range x.row(first + r) {
				z[j] = v - mean[j]
			}
			a.addFirst(k, resp, z)
			for j := range z {
				z[j] *= root
			}
			rows++
		}
		a.count[k] += total
		a.addSecond(k, s.z[:rows*d], rows)
	}
}

// distances writes the squared Mahalanobis distance of every row of the block to component k, or the squared
// Euclidean one.
func (s *scratch) distances(q []float64, m *Mixture, k int, euclidean bool) {
	d := m.D
	for i := range q {
		q[i] = 0
	}
	for j, mu := range m.Mean(k) {
		xt, xc := s.xt[j*lanes:(j+1)*lanes], s.xc[j*lanes:(j+1)*lanes]
		for r := range xc {
			xc[r] = xt[r] - mu
		}
	}
	if euclidean || m.Covariance == Diag || m.Covariance == Spherical {
		for j := range d {
			w := 1.0
			if !euclidean {
				w = m.whiten[k*d+j]
			}
			for r, v := range s.xc[j*lanes : (j+1)*lanes] {
				q[r] += (v * w) * (v * w)
			}
		}
		return
	}
	tri := d * (d + 1) / 2
	triangularDistances(q, s.y, m.whiten[k*tri:(k+1)*tri], s.xc, d)
}

// triangularDistances adds |P x_r|² to q for every lane r; p is d×d lower triangular, packed; x is d×lanes.
func triangularDistances(q, y, p, x []float64, d int) {
	q, y = q[:lanes], y[:lanes]
	at := 0
	for i := range d {
		for r := range y {
			y[r] = 0
		}
		for j := 0; j <= i; j++ {
			w := p[at]
			at++
			xj := x[j*lanes : (j+1)*lanes : (j+1)*lanes]
			for r := range xj {
				y[r] += w * xj[r]
			}
		}
		for r, v := range y {
			q[r] += v * v
		}
	}
}

// normalise turns logp into responsibilities by log-sum-exp and adds the log-likelihood.
func (s *scratch) normalise(a *sums, k, n, first int, nearest bool) {
	best, sum := s.best, s.sum
	for r := range best {
		best[r], sum[r] = math.Inf(-1), 0
	}
	for c := range k {
		for r, v := range s.logp[c*lanes : (c+1)*lanes] {
			if v > best[r] {
				best[r] = v
			}
		}
	}
	if nearest {
		for r := range n {
			found := false
			for c := range k {
				v := &s.logp[c*lanes+r]
				if !found && *v == best[r] {
					*v, found = 1, true
				} else {
					*v = 0
				}
			}
			a.logLikelihood += best[r]
			a.worst(first+r, best[r])
		}
		return
	}
	for c := range k {
		p := s.logp[c*lanes : (c+1)*lanes]
		for r, v := range p {
			if v -= best[r]; v < -50 {
				p[r] = 0
				continue
			}
			p[r] = math.Exp(v)
			sum[r] += p[r]
		}
	}
	for r := range n {
		ll := best[r] + math.Log(sum[r])
		a.logLikelihood += ll
		a.worst(first+r, ll)
		inv := 1 / sum[r]
		for c := range k {
			if p := &s.logp[c*lanes+r]; *p > 0 {
				*p *= inv
				if *p < 1 {
					a.entropy -= *p * math.Log(*p)
				}
			}
		}
	}
}
