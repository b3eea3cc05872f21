package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// streamSample is the number of rows that a streaming fit begins with.
const streamSample = 1 << 16

// FitCSV fits a mixture to a file that need not fit in memory. EM runs to convergence on a uniform random sample of
// 65,536 rows, then continues with exact passes over the whole file until the tolerance is reached or the iterations,
// counted anew, are used up. It holds O(sample·d + workers·(segment + k·d²)) and gives the same result for any number
// of workers.
func FitCSV(ctx context.Context, c *CSVFile, s Settings) (*Mixture, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	s.PriorRows = 0 // many rows need none
	st := &stream{file: c, workers: s.Workers}
	reservoir, n, err := st.sample(ctx, rand.New(rand.NewPCG(s.Seed, math.MaxUint64)))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: no rows after the header", c.Path)
	}
	d := len(c.Columns)
	x := mat.NewDense(len(reservoir)/d, d, reservoir)
	m, err := FitContext(ctx, x, s)
	if err != nil || n == len(reservoir)/d {
		return m, err // everything was in the sample
	}
	report := m.Fit
	report.N, report.Converged = n, false
	st.shift = columnMeans(denseRows(x))
	last := math.Inf(-1)
	for range s.MaxIterations {
		a, err := st.pass(ctx, m)
		if err != nil {
			return nil, err
		}
		ll := a.logLikelihood / float64(n)
		report.Trace = append(report.Trace, ll)
		report.Iterations++
		if s.Progress != nil {
			s.Progress(Progress{Restart: report.Restart, Iteration: report.Iterations, LogLikelihoodPerSample: ll})
		}
		next, floored, _ := a.maximise(m, s.Floor, prior{})
		if err := next.prepare(); err != nil {
			return nil, fmt.Errorf("iteration %d: %w", report.Iterations, err)
		}
		m, report.Floored = next, floored
		if ll-last < s.Tolerance && s.Tolerance > 0 {
			report.Converged = true
			break
		}
		last = ll
	}
	a, err := st.pass(ctx, m)
	if err != nil {
		return nil, err
	}
	report.LogLikelihoodPerSample = a.logLikelihood / float64(n)
	m.Fit = report
	m.Fit.score(a.entropy, m.Covariance.Parameters(m.K, d))
	return m, nil
}

// stream makes passes over a file as engine does over a matrix. Segments are parsed and evaluated side by side;
// their sums are added in the order of the file.
type stream struct {
	file    *CSVFile
	workers int
	shift   []float64
}

// each calls work with every segment's rows, side by side on the workers, and merge, one at a time, in order.
func (st *stream) each(ctx context.Context, work func(worker int, rows rowBlocks),
	merge func(worker int, rows rowBlocks)) error {
	scan, err := st.file.scan()
	if err != nil {
		return err
	}
	defer scan.close()
	var (
		reading  sync.Mutex
		issued   int // segments read
		ended    bool
		ordering = sync.NewCond(new(sync.Mutex))
		merged   int // segments merged
		before   int // rows merged
		failed   error
		wg       sync.WaitGroup
	)
	d := len(st.file.Columns)
	for w := range st.workers {
		wg.Go(func() {
			var text []byte
			var data []float64
			for {
				reading.Lock()
				if ended {
					reading.Unlock()
					return
				}
				var err error
				text, err = scan.next(text)
				if err == nil {
					err = ctx.Err()
				}
				ended = err != nil
				turn := issued
				issued++
				reading.Unlock()

				if err == nil {
					data, err = st.file.parse(data[:0], text)
				}
				rows := rowBlocks{data: data, n: len(data) / d, d: d, stride: d}
				if err == nil && work != nil {
					work(w, rows)
				}
				ordering.L.Lock()
				for merged != turn {
					ordering.Wait()
				}
				switch {
				case failed != nil: // an earlier segment's fault comes first
				case err == nil:
					merge(w, rows)
					before += rows.n
				case errors.Is(err, io.EOF):
				case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
					failed = err
				default:
					failed = st.file.locate(err, before)
				}
				stop := failed != nil
				merged++
				ordering.Broadcast()
				ordering.L.Unlock()
				if stop {
					reading.Lock()
					ended = true
					reading.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// sample returns a uniform random sample of at most streamSample rows (algorithm R) and the number of all rows.
func (st *stream) sample(ctx context.Context, rng *rand.Rand) (data []float64, n int, err error) {
	d := len(st.file.Columns)
	err = st.each(ctx, nil, func(_ int, rows rowBlocks) {
		for i := range rows.n {
			switch at := rng.IntN(n + 1); {
			case n < streamSample:
				data = append(data, rows.row(i)...)
			case at < streamSample:
				copy(data[at*d:(at+1)*d], rows.row(i))
			}
			n++
		}
	})
	return data, n, err
}

// pass evaluates m on every row of the file.
func (st *stream) pass(ctx context.Context, m *Mixture) (*sums, error) {
	v, kern := newView(m, st.shift, false), newKernel()
	total := newSums(m.K, m.D, m.Covariance)
	partial, scratches := make([]*sums, st.workers), make([]*scratch, st.workers)
	for w := range st.workers {
		partial[w], scratches[w] = newSums(m.K, m.D, m.Covariance), newScratch(m.K, m.D)
	}
	err := st.each(ctx, func(w int, rows rowBlocks) {
		partial[w].reset()
		for first := 0; first < rows.n; first += lanes {
			scratches[w].block(partial[w], kern, v, rows, first, min(lanes, rows.n-first))
		}
	}, func(w int, _ rowBlocks) { total.add(partial[w]) })
	return total, err
}
