package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gonum.org/v1/gonum/mat"

	"trimtab/cluster"
)

// analysis is what `trimtab cluster` found.
type analysis struct {
	model       *cluster.Model
	fitted      bool // false: the model was given
	curve       []cluster.Choice
	x           *mat.Dense // n×d raw features; nil when streaming
	assigned    []cluster.Assignment
	intervals   []cluster.Interval // of statistics, one per row of x
	transitions *cluster.Transitions
	agreement   *scheduleAgreement
	skipped     skipped
	seconds     float64 // of the fit alone
}

// analyseCSV fits a mixture to a file of numbers.
func analyseCSV(ctx context.Context, f *clusterFlags, report *fitProgress) (*analysis, error) {
	file, err := cluster.OpenCSV(f.csv)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	schema := cluster.Schema{Set: cluster.ColumnFeatures, Columns: file.Columns}
	a := &analysis{}
	if f.stream {
		s := f.settings()
		s.Progress = report.step
		report.begin(s.K)
		if s.Start, err = f.startMixture(nil, file); err != nil {
			return nil, withCode(exitConfig, err)
		}
		began := time.Now()
		m, err := cluster.FitCSV(ctx, file, s)
		a.seconds = time.Since(began).Seconds()
		if err != nil {
			return nil, fitError(ctx, f.csv, err)
		}
		a.fitted = true
		a.model, err = cluster.NewModel(schema, cluster.IdentityScaler(len(file.Columns)), m, nil)
		return a, err
	}
	x, err := file.Read()
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	return a, a.fit(ctx, f, f.csv, schema, x, file, report)
}

// fit fits the model to x, or reads it, and assigns every row.
func (a *analysis) fit(ctx context.Context, f *clusterFlags, name string, schema cluster.Schema, x *mat.Dense, file *cluster.CSVFile, report *fitProgress) error {
	a.x = x
	if f.model != "" {
		m, err := cluster.OpenModel(f.model)
		if err != nil {
			return withCode(exitConfig, err)
		}
		if !m.Schema.Equal(schema) {
			return withCode(exitConfig, fmt.Errorf("%s: the model is of other features than %s: %s", f.model, name, m.Schema.Difference(schema)))
		}
		m.SetNovelty(f.novelty)
		a.model = m
	} else if err := a.fitNew(ctx, f, name, schema, x, file, report); err != nil {
		return err
	}
	n, _ := x.Dims()
	w := a.model.NewWorkspace()
	for i := range n {
		a.assigned = append(a.assigned, a.model.Assign(w, x.RawRowView(i)))
	}
	return nil
}

func (a *analysis) fitNew(ctx context.Context, f *clusterFlags, name string, schema cluster.Schema, x *mat.Dense, file *cluster.CSVFile, report *fitProgress) error {
	n, d := x.Dims()
	scaler := cluster.FitScaler(x)
	z := x
	if file != nil && !f.standardise {
		scaler = cluster.IdentityScaler(d)
	} else {
		z = scaler.Transform(x)
	}
	s := f.settings()
	s.Progress = report.step
	if file == nil && s.PriorRows == 0 {
		s.PriorRows = float64(d + 2) // as FitModel
	}
	report.begin(s.K)
	var err error
	if s.Start, err = f.startMixture(z, file); err != nil {
		return withCode(exitConfig, err)
	}
	if need := cluster.MinimumIntervals(f.from); file == nil && n < need {
		return withCode(exitConfig, fmt.Errorf("%s: %d intervals of %v, %d regimes need at least %d: collect more, or ask for a shorter --window or a smaller --k",
			name, n, f.window, f.from, need))
	}
	var m *cluster.Mixture
	began := time.Now()
	if f.from == f.to {
		m, err = cluster.FitContext(ctx, z, s)
	} else {
		to := min(f.to, n)
		if file == nil {
			to = max(f.from, min(f.to, n/cluster.MinimumIntervals(1)))
		}
		m, a.curve, err = cluster.ChooseK(ctx, z, s, f.from, to, func(c cluster.Choice) { report.begin(c.K + 1) })
		if most := min(to, n/fullRows(d)); err == nil && f.covariance == auto && most >= f.from {
			s.Covariance = cluster.Full
			full, curve, bad := cluster.ChooseK(ctx, z, s, f.from, most, func(c cluster.Choice) { report.begin(c.K + 1) })
			switch {
			case bad != nil:
				err = bad
			case full.Fit.BIC < m.Fit.BIC:
				m, a.curve = full, curve
			}
		}
	}
	a.seconds = time.Since(began).Seconds()
	if err != nil {
		return fitError(ctx, name, err)
	}
	a.fitted = true
	a.model, err = cluster.NewModel(schema, scaler, m, x)
	if err != nil {
		return err
	}
	a.model.SetNovelty(f.novelty)
	return nil
}

// fullRows is how many rows a regime with a full covariance of d features has to have: twice as many as it has parameters.
func fullRows(d int) int { return 2 * cluster.Full.Parameters(1, d) }

// fitError tells an interruption from data that cannot be fitted.
func fitError(ctx context.Context, name string, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return err
	}
	return withCode(exitConfig, fmt.Errorf("%s: %w", name, err))
}

// startMixture is what the fit starts from: nil for random starts.
func (f *clusterFlags) startMixture(z *mat.Dense, file *cluster.CSVFile) (*cluster.Mixture, error) {
	switch {
	case f.start != "":
		m, err := cluster.OpenModel(f.start)
		if err != nil {
			return nil, err
		}
		return m.Mixture, nil
	case f.means != "":
		means, err := cluster.OpenCSV(f.means)
		if err != nil {
			return nil, err
		}
		if len(means.Columns) != len(file.Columns) {
			return nil, fmt.Errorf("%s: %d columns, %s has %d", f.means, len(means.Columns), file.Path, len(file.Columns))
		}
		mu, err := means.Read()
		if err != nil {
			return nil, err
		}
		if z == nil {
			return nil, fmt.Errorf("--means does not go with --stream: use --start")
		}
		if k, _ := mu.Dims(); k != f.from {
			return nil, fmt.Errorf("%s: %d rows of means for --k %d", f.means, k, f.from)
		}
		return cluster.MixtureFromMeans(z, mu, cluster.Covariance(f.covariance))
	}
	return nil, nil
}
