package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"
)

// Fit fits a mixture to x, n×d, rows are samples, by expectation maximisation from several starts. The result
// depends on the seed but not on the number of workers.
func Fit(x *mat.Dense, s Settings) (*Mixture, error) {
	return FitContext(context.Background(), x, s)
}

// FitContext is Fit that stops with ctx's error when ctx is cancelled.
func FitContext(ctx context.Context, x *mat.Dense, s Settings) (*Mixture, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	if err := checkMatrix(x, s.K); err != nil {
		return nil, err
	}
	_, d := x.Dims()
	if s.Start != nil && s.Start.D != d {
		return nil, fmt.Errorf("start has %d features, the data %d", s.Start.D, d)
	}
	rows := denseRows(x)
	shared, err := sharedCovariance(ctx, rows, s)
	if err != nil {
		return nil, err
	}

	// Starts run side by side; each splits its own passes over the workers that are left for it.
	concurrent := min(s.Restarts, s.Workers)
	perStart := max(1, s.Workers/concurrent)
	fitted := make([]*Mixture, s.Restarts)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for r := range s.Restarts {
		group.Go(func() (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = workerPanic(v)
				}
			}()
			fitted[r], err = fitOnce(ctx, rows, s, shared, r, perStart)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if p := (*WorkerPanic)(nil); errors.As(err, &p) {
			panic(p)
		}
		return nil, err
	}
	best := fitted[0]
	for _, m := range fitted[1:] {
		if m.Fit.LogLikelihoodPerSample > best.Fit.LogLikelihoodPerSample {
			best = m
		}
	}
	return best, nil
}

// fitOnce runs EM from one start.
func fitOnce(ctx context.Context, x rowBlocks, s Settings, p prior, restart, workers int) (*Mixture, error) {
	m := s.Start
	e := newEngine(x, columnMeans(x), s.K, s.Covariance, workers)
	e.prior = p
	if m != nil {
		m = m.clone()
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
	} else {
		var err error
		if m, err = e.start(s, restart); err != nil {
			return nil, err
		}
	}
	report := FitReport{N: x.n, Seed: s.Seed, Restart: restart}
	last := math.Inf(-1)
	for i := range s.MaxIterations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a := e.pass(m, false)
		ll := a.logLikelihood / float64(x.n)
		report.Trace = append(report.Trace, ll)
		if s.Progress != nil {
			s.Progress(Progress{Restart: restart, Iteration: i + 1, LogLikelihoodPerSample: ll})
		}
		next, floored, empty := a.maximise(m, s.Floor, e.prior)
		reseeded := len(empty) > 0 && report.Reseeded < s.K
		if reseeded { // one at a time: each needs a row that the others do not explain
			report.Reseeded++
			e.reseed(next, a, empty[0])
		}
		if err := next.prepare(); err != nil {
			return nil, fmt.Errorf("iteration %d: %w", i+1, err)
		}
		m, report.Floored, report.Iterations = next, floored, i+1
		if !reseeded && ll-last < s.Tolerance && s.Tolerance > 0 {
			report.Converged = true
			break
		}
		last = ll
	}
	a := e.pass(m, false)
	report.LogLikelihoodPerSample = a.logLikelihood / float64(x.n)
	report.score(a.entropy, m.Covariance.Parameters(m.K, m.D))
	m.Fit = report
	return m, nil
}

// sharedCovariance returns the prior that the settings ask for: the covariance of a tied mixture of one start. With more than tiedMost
// features, of which only the variances are asked for, it is the mean of the variances within the components of a diagonal mixture, for a
// matrix of all pairs would take most of the time and memory of a fit.
func sharedCovariance(ctx context.Context, x rowBlocks, s Settings) (prior, error) {
	if s.PriorRows <= 0 || s.Covariance != Full && s.Covariance != Diag {
		return prior{}, nil
	}
	wide := s.Covariance == Diag && x.d > tiedMost
	s.Start, s.Progress = nil, nil
	if !wide {
		s.Covariance = Tied
	}
	m, err := fitOnce(ctx, x, s, prior{}, 0, s.Workers)
	if err != nil {
		return prior{}, fmt.Errorf("fit shared covariance: %w", err)
	}
	if wide {
		shared := make([]float64, m.D)
		for k, w := range m.Weights {
			for j := range shared {
				shared[j] += w * m.Covariances[k*m.D+j]
			}
		}
		return prior{rows: s.PriorRows, variance: shared}, nil
	}
	return prior{rows: s.PriorRows, covariance: m.CovarianceOf(0)}, nil
}

const tiedMost = 128 // features

// score fills the information criteria from the log-likelihood, the entropy of the responsibilities and the number
// of free parameters.
func (r *FitReport) score(entropy float64, parameters int) {
	ll := r.LogLikelihoodPerSample * float64(r.N)
	r.BIC = -2*ll + float64(parameters)*math.Log(float64(r.N))
	r.AIC = -2*ll + 2*float64(parameters)
	r.ICL = r.BIC + 2*entropy
}

func (m *Mixture) clone() *Mixture {
	c := *m
	c.Weights = append([]float64(nil), m.Weights...)
	c.Means = append([]float64(nil), m.Means...)
	c.Covariances = append([]float64(nil), m.Covariances...)
	c.whiten, c.logScale = nil, nil
	return &c
}

// checkMatrix refuses data that no mixture of k components can be fitted to.
func checkMatrix(x *mat.Dense, k int) error {
	n, d := x.Dims()
	if n < 2 {
		return fmt.Errorf("%d row: a mixture needs at least 2", n)
	}
	if n < k {
		return fmt.Errorf("%d rows for %d components: need at least %d rows, or a smaller k", n, k, k)
	}
	varies := false
	for i := range n {
		row := x.RawRowView(i)
		for j := range d {
			if v := row[j]; math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("row %d, column %d: %g is not a finite number", i+1, j+1, v)
			}
			varies = varies || row[j] != x.At(0, j)
		}
	}
	if !varies {
		return fmt.Errorf("all %d rows are equal: nothing to tell apart", n)
	}
	return nil
}

// columnMeans returns the mean of every column, by the running update that keeps its digits for any offset.
func columnMeans(x rowBlocks) []float64 {
	mean := make([]float64, x.d)
	for i := range x.n {
		inv := 1 / float64(i+1)
		for j, v := range x.row(i) {
			mean[j] += (v - mean[j]) * inv
		}
	}
	return mean
}
