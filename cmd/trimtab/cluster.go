package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/cluster"
)

// auto leaves a number or a shape to the data.
const auto = "auto"

type clusterFlags struct {
	csv, k, covariance, features             string
	out, model, start, means                 string
	plot, transitions, assignments, schedule string
	window                                   time.Duration
	restarts, maxIterations, workers         int
	seed                                     uint64
	tolerance, floor, novelty, prior         float64
	standardise, stream, skipBad, json       bool

	from, to int // range of k
}

func newCluster(e *env) *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use:   "cluster [flags] STATS...",
		Short: "Find the load regimes in stored statistics, or fit a Gaussian mixture to any numbers",
		Long: `Read stored statistics in any of the three formats, turn every interval into features, fit a Gaussian mixture
and print one row per regime. With --model an earlier model is used as it is instead of fitting one.

With --csv: fit a mixture to a file of numbers (a header row, then one row of numbers per line) as they are.`,
		Example: `  trimtab cluster stats.ndjson --out model.json --plot regimes.png --transitions P.csv
  trimtab cluster monday.ndjson.zst tuesday.ndjson.zst --k 27 --covariance full --json
  trimtab cluster today.ndjson --model model.json --assignments today.csv
  trimtab cluster --csv x.csv --k 8 --covariance full --json
  trimtab cluster --csv huge.csv --k 8 --stream`,
		Args: usageArgs(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd, args); err != nil {
				return withCode(exitUsage, fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath()))
			}
			return runCluster(cmd.Context(), e, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.csv, "csv", "", "fit a mixture to this file of numbers instead of statistics")
	fl.StringVar(&f.k, "k", auto, "number of regimes, such as 27; auto: the least BIC from 1 to 40; A..B: the least "+
		"BIC from A to B")
	fl.StringVar(&f.covariance, "covariance", auto, "full, diag, tied or spherical; auto: full or diag, which has "+
		"the less BIC, full only of rows enough")
	fl.StringVar(&f.features, "features", string(cluster.LoadFeatures), "load, load+hosts with the machines that "+
		"collect --host recorded too, or seed for the older set of raw per-server counters")
	fl.DurationVar(&f.window, "window", 3*time.Second, "merge polls into intervals of this length; 0: every "+
		"poll is one")
	fl.BoolVar(&f.skipBad, "skip-bad", false, "leave out lines that cannot be read instead of stopping at the first")
	fl.StringVar(&f.model, "model", "", "use this model instead of fitting one; give the --window of "+
		"its fit")
	fl.StringVar(&f.out, "out", "", "write the model to this file")
	fl.StringVar(&f.assignments, "assignments", "", "write the regime of every interval or row to this CSV file")
	fl.StringVar(&f.transitions, "transitions", "", "write P(s'|s,a) to this file, .csv or .json")
	fl.StringVar(&f.plot, "plot", "", "draw regimes, timeline, BIC curve and transitions to this file, .png or .svg")
	fl.StringVar(&f.schedule, "schedule", "", "compare the regimes with the load schedule that was run, as drawn by "+
		"trimtab load")
	fl.IntVar(&f.restarts, "restarts", 5, "random starts, the best is kept")
	fl.IntVar(&f.maxIterations, "max-iterations", 200, "iterations per start")
	fl.Float64Var(&f.tolerance, "tolerance", 1e-4, "stop when an iteration gains less log-likelihood per row; 0: "+
		"make all iterations")
	fl.Float64Var(&f.floor, "floor", 1e-6, "least variance in any direction, in squared units of the "+
		"(standardised) features")
	fl.Float64Var(&f.prior, "prior-rows", 0, "shrink covariances towards the one shared by all regimes as by so many "+
		"rows; 0: features+2, with --csv none; negative: none")
	fl.Float64Var(&f.novelty, "novelty", cluster.DefaultNovelty, "probability of the ellipsoid outside of which an "+
		"interval is novel")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the random starts")
	fl.IntVar(&f.workers, "workers", 0, "goroutines (default: one per core); the result does not depend on it")
	fl.StringVar(&f.start, "start", "", "start from the mixture of this model file instead of random starts")
	fl.StringVar(&f.means, "means", "", "with --csv: start from the means in this CSV file, equal weights and the "+
		"variances of the columns")
	fl.BoolVar(&f.standardise, "standardise", false, "with --csv: standardise the columns first")
	fl.BoolVar(&f.stream, "stream", false, "with --csv: do not hold the file in memory")
	fl.BoolVar(&f.json, "json", false, "one JSON object per line; the last one holds the fit and the regimes")
	return cmd
}

// check reports flags that do not go together and derives the range of k.
func (f *clusterFlags) check(cmd *cobra.Command, args []string) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case f.csv == "" && len(args) == 0:
		fail("no statistics: name files, or a file of numbers with --csv")
	case f.csv != "" && len(args) > 0:
		fail("both --csv and %s: one or the other", args[0])
	}
	if f.csv != "" {
		for _, name := range []string{"features", "window", "transitions", "schedule", "skip-bad"} {
			if cmd.Flags().Changed(name) {
				fail("--%s needs statistics, not --csv", name)
			}
		}
	} else {
		for _, name := range []string{"means", "standardise", "stream"} {
			if cmd.Flags().Changed(name) {
				fail("--%s needs --csv", name)
			}
		}
	}
	if f.stream {
		for _, name := range []string{"assignments", "plot", "standardise", "model"} {
			if cmd.Flags().Changed(name) {
				fail("--%s does not go with --stream", name)
			}
		}
	}
	if f.start != "" && f.means != "" {
		fail("both --start and --means: one or the other")
	}
	if f.model != "" {
		for _, name := range []string{"start", "means", "k", "covariance", "features"} {
			if cmd.Flags().Changed(name) {
				fail("--%s fits a model, --model uses one", name)
			}
		}
	}
	if err := f.parseK(); err != nil {
		errs = append(errs, err)
	}
	fixed := f.stream || f.start != "" || f.means != ""
	if fixed && !cmd.Flags().Changed("k") {
		f.k = strconv.Itoa(cluster.DefaultK)
		f.from, f.to = cluster.DefaultK, cluster.DefaultK
		if f.start != "" {
			f.from, f.to = 0, 0 // that of the start
		}
	}
	if f.covariance == auto && (fixed || f.from == f.to) {
		f.covariance = "" // that of the start, else full
	}
	if f.from != f.to && (f.stream || f.start != "" || f.means != "") {
		fail("--k %s does not go with --stream, --start or --means: give one number", f.k)
	}
	if f.window < 0 {
		fail("--window %v: want 0 or more", f.window)
	}
	if f.maxIterations < 1 {
		fail("--max-iterations %d: want at least 1", f.maxIterations)
	}
	if f.restarts < 1 {
		fail("--restarts %d: want at least 1", f.restarts)
	}
	if !(f.floor > 0) {
		fail("--floor %g: want more than 0", f.floor)
	}
	if !(f.novelty > 0 && f.novelty < 1) {
		fail("--novelty %g: want between 0 and 1", f.novelty)
	}
	if !(f.tolerance >= 0) {
		fail("--tolerance %g: want 0 or more", f.tolerance)
	}
	if err := f.settings().Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// parseK fills the range of k.
func (f *clusterFlags) parseK() error {
	if f.k == auto {
		f.from, f.to = 1, 40
		return nil
	}
	from, to, isRange := strings.Cut(f.k, "..")
	if !isRange {
		to = from
	}
	var err1, err2 error
	f.from, err1 = strconv.Atoi(from)
	f.to, err2 = strconv.Atoi(to)
	if err1 != nil || err2 != nil || f.from < 1 || f.to < f.from {
		return fmt.Errorf("--k %q: want a number from 1, a range such as 2..12, or auto", f.k)
	}
	return nil
}

func (f *clusterFlags) settings() cluster.Settings {
	covariance := f.covariance
	if covariance == auto {
		covariance = string(cluster.Diag) // the first that is tried
	}
	s := cluster.Settings{
		K: f.from, Covariance: cluster.Covariance(covariance), Restarts: f.restarts, MaxIterations: f.maxIterations,
		Tolerance: f.tolerance, Floor: f.floor, Seed: f.seed, Workers: f.workers, PriorRows: f.prior,
	}
	if f.tolerance == 0 {
		s.Tolerance = -1 // Settings: never
	}
	return s
}

// runCluster fits or reads a model and writes what was asked for.
func runCluster(ctx context.Context, e *env, f *clusterFlags, paths []string) error {
	report := newFitProgress(e)
	defer report.done()
	var a *analysis
	var err error
	if f.csv != "" {
		a, err = analyseCSV(ctx, f, report)
	} else {
		a, err = analyseStatistics(ctx, e, f, paths, report)
	}
	report.done()
	if err != nil {
		return err
	}
	if err := a.write(f); err != nil {
		return withCode(exitConfig, err)
	}
	if f.json {
		return a.printJSON(e.stdout)
	}
	return e.text(a.print)
}
