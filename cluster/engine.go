package cluster

import (
	"math"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"
)

// maxChunks bounds the partial sums of a pass. The partition into chunks depends on the number of rows only and
// the partial sums are added in order: results do not depend on the number of workers.
const maxChunks = 16

// negligible is the responsibility below which a row is left out of a component's sums: 2⁻⁶⁰ of a row is lost in
// the rounding of the sums anyway. logNegligible is its logarithm.
const (
	negligible    = 0x1p-60
	logNegligible = -60 * math.Ln2
)

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

// engine makes passes over data: the E-step of a mixture and the sums that its M-step needs, fused block by block,
// so that no n×k matrix exists.
type engine struct {
	x       rowBlocks
	shift   []float64 // subtracted from every row, so that data far from 0 keep their digits
	prior   prior
	kernel  kernel
	chunks  []*sums
	scratch []*scratch // one per worker
}

func newEngine(x rowBlocks, shift []float64, k int, c Covariance, workers int) *engine {
	e := &engine{x: x, shift: shift, kernel: newKernel()}
	blocks := (x.n + lanes - 1) / lanes
	for range min(maxChunks, blocks) {
		e.chunks = append(e.chunks, newSums(k, x.d, c))
	}
	for range min(workers, len(e.chunks)) {
		e.scratch = append(e.scratch, newScratch(k, x.d))
	}
	return e
}

// pass evaluates m on every row and returns the sums, which are valid until the next pass. With nearest, every row
// belongs wholly to the component with the nearest mean instead of by responsibility.
func (e *engine) pass(m *Mixture, nearest bool) *sums {
	v := newView(m, e.shift, nearest)
	blocks := (e.x.n + lanes - 1) / lanes
	var next atomic.Int64
	var wg workers
	for _, s := range e.scratch {
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
					s.block(e.chunks[c], e.kernel, v, e.x, first, min(lanes, e.x.n-first))
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

// view is a mixture as the loops want it: relative to the shift, rows padded.
type view struct {
	*Mixture
	nearest bool
	shift   []float64
	means   []float64 // k×padded: μ − shift
	offset  []float64 // k×d: −P(μ − shift)
	width   int       // padded d
}

func newView(m *Mixture, shift []float64, nearest bool) *view {
	d := m.D
	v := &view{Mixture: m, nearest: nearest, shift: shift, width: padded(d)}
	v.means = make([]float64, m.K*v.width)
	v.offset = make([]float64, m.K*d)
	tri := d * (d + 1) / 2
	for k := range m.K {
		mean, offset := v.means[k*v.width:k*v.width+d], v.offset[k*d:(k+1)*d]
		for j, mu := range m.Mean(k) {
			mean[j] = mu - shift[j]
		}
		if !m.triangular() {
			continue
		}
		p := m.whiten[k*tri : (k+1)*tri]
		for i := range d {
			for j, w := range p[:i+1] {
				offset[i] -= w * mean[j]
			}
			p = p[i+1:]
		}
	}
	return v
}

// scratch is what one worker needs besides the data and the sums.
type scratch struct {
	rows  []float64 // lanes×padded: the block minus the shift
	xt    []float64 // d×lanes: the same, feature by feature
	logp  []float64 // k×lanes: log w_k N(x|k), then responsibilities
	best  []float64 // lanes: the largest of a row's logp
	sum   []float64 // lanes
	cross []float64 // lanes: Σ r log r before normalising
	z     []float64 // lanes×padded
	index []int32   // lanes: rows that count for a component
	root  []float64 // lanes: √responsibility of those
}

func newScratch(k, d int) *scratch {
	return &scratch{
		rows: make([]float64, lanes*padded(d)), xt: make([]float64, d*lanes), logp: make([]float64, k*lanes),
		best: make([]float64, lanes), sum: make([]float64, lanes), cross: make([]float64, lanes),
		z: make([]float64, lanes*padded(d)), index: make([]int32, lanes), root: make([]float64, lanes),
	}
}

// block adds rows first…first+n−1, at most lanes, to the sums.
func (s *scratch) block(a *sums, kern kernel, v *view, x rowBlocks, first, n int) {
	width := v.width
	for r := range n {
		row := s.rows[r*width : (r+1)*width]
		for j, value := range x.row(first + r) {
			value -= v.shift[j]
			row[j] = value
			s.xt[j*lanes+r] = value
		}
	}
	for k := range v.K {
		s.distances(s.logp[k*lanes:(k+1)*lanes], kern, v, k)
	}
	if v.nearest {
		s.choose(a, v, first, n)
	} else {
		s.normalise(a, v, first, n)
	}
	for k := range v.K {
		rows := 0
		var count float64
		for r, resp := range s.logp[k*lanes : k*lanes+n] {
			if resp < negligible {
				continue
			}
			count += resp
			s.index[rows], s.root[rows] = int32(r), math.Sqrt(resp)
			rows++
		}
		if rows == 0 {
			continue
		}
		a.count[k] += count
		kern.pack(s.z, a.first[k*width:(k+1)*width], s.rows, v.means[k*width:(k+1)*width], s.index[:rows], s.root,
			width)
		a.addSecond(kern, k, s.z, rows)
	}
}

// distances writes the squared Mahalanobis distance of every row of the block to component k, or the squared
// Euclidean one.
func (s *scratch) distances(q []float64, kern kernel, v *view, k int) {
	d := v.D
	clear(q)
	if v.triangular() && !v.nearest {
		tri := d * (d + 1) / 2
		kern.distances(q, v.whiten[k*tri:(k+1)*tri], v.offset[k*d:(k+1)*d], s.xt, d)
		return
	}
	for j, mu := range v.means[k*v.width : k*v.width+d] {
		w := 1.0
		if !v.nearest {
			w = v.whiten[k*d+j]
		}
		for r, x := range s.xt[j*lanes : (j+1)*lanes] {
			y := (x - mu) * w
			q[r&(lanes-1)] += y * y
		}
	}
}

// choose gives every row wholly to the component with the least distance; the log-likelihood is minus half the
// sum of those.
func (s *scratch) choose(a *sums, v *view, first, n int) {
	for r := range n {
		nearest, least := 0, math.Inf(1)
		for k := range v.K {
			q := &s.logp[k*lanes+r]
			if *q < least {
				nearest, least = k, *q
			}
			*q = 0
		}
		s.logp[nearest*lanes+r] = 1
		a.logLikelihood -= least / 2
		a.worst(first+r, -least)
	}
}

// normalise turns distances into responsibilities by log-sum-exp and adds the log-likelihood and the entropy.
func (s *scratch) normalise(a *sums, v *view, first, n int) {
	best, sum, cross := s.best[:lanes], s.sum[:lanes], s.cross[:lanes]
	for r := range best {
		best[r], sum[r], cross[r] = math.Inf(-1), 0, 0
	}
	for k := range v.K {
		scale := v.logScale[k]
		for r, q := range s.logp[k*lanes : (k+1)*lanes] {
			q = scale - q/2
			s.logp[k*lanes+r] = q
			if q > best[r&(lanes-1)] {
				best[r&(lanes-1)] = q
			}
		}
	}
	for k := range v.K {
		p := s.logp[k*lanes : (k+1)*lanes]
		for r, q := range p {
			q -= best[r&(lanes-1)]
			if q < logNegligible {
				p[r] = 0
				continue
			}
			e := math.Exp(q)
			p[r] = e
			sum[r&(lanes-1)] += e
			cross[r&(lanes-1)] += e * q
		}
	}
	for r := range n {
		log, inv := math.Log(sum[r]), 1/sum[r]
		a.logLikelihood += best[r] + log
		a.entropy += log - cross[r]*inv
		a.worst(first+r, best[r]+log)
		sum[r] = inv
	}
	for k := range v.K {
		for r, p := range s.logp[k*lanes : (k+1)*lanes] {
			s.logp[k*lanes+r] = p * sum[r&(lanes-1)]
		}
	}
}
