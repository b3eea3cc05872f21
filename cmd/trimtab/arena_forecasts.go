package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"trimtab/arena"
	"trimtab/deathstarbench"
)

type forecastsFlags struct {
	worlds    int
	first     uint64
	recurring bool
	policies  string
	seeds     int
	seed      uint64
	json      bool
}

func newArenaForecasts(e *env) *cobra.Command {
	var f forecastsFlags
	cmd := &cobra.Command{
		Use:   "forecasts [flags] [SCENARIO...]",
		Short: "Compare what changes of weights were forecast to bring with what they brought",
		Long: `Play policies that make forecasts over generated worlds (trimtab scenario random), or over the given scenarios,
and compare the 99th percentile that was forecast for the minute after each change with what the clients saw: the median
relative error, the ratio of measured to forecast, and how often the 90 % interval held it. A change cannot be judged
when within the minute another one was made, a fault began or ended, the run ended or few requests were answered; how
many that were is printed. Changes after which the load moved by more than a tenth are counted and told apart.`,
		Example: `  trimtab arena forecasts --worlds 60 --first 300
  trimtab arena forecasts --policy least_conn/tuned --json my-worlds/*.toml`,
		RunE: func(cmd *cobra.Command, args []string) error { return runForecasts(cmd.Context(), e, &f, args) },
	}
	fl := cmd.Flags()
	fl.IntVar(&f.worlds, "worlds", 60, "number of generated worlds")
	fl.Uint64Var(&f.first, "first", 1, "seed of the first world; the others count up from it")
	fl.BoolVar(&f.recurring, "recurring", false, "generate worlds of hours in which regimes of load return")
	fl.StringVar(&f.policies, "policy", "tuned,least_conn/tuned,least_time/tuned",
		"comma-separated list of chooser or method/chooser")
	fl.IntVar(&f.seeds, "seeds", 1, "number of seeds in each world")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per change instead of the table")
	return cmd
}

func runForecasts(ctx context.Context, e *env, f *forecastsFlags, names []string) error {
	if err := wrong(bounded{"worlds", f.worlds, f.worlds >= 1, "at least 1"},
		bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"}); err != nil {
		return err
	}
	var scenarios []*deathstarbench.Scenario
	var err error
	if len(names) > 0 {
		if scenarios, err = loadScenarios(names); err != nil {
			return withCode(exitConfig, err)
		}
	} else {
		for i := range f.worlds {
			scenarios = append(scenarios, generated(f.first+uint64(i), f.recurring).Scenario)
		}
	}
	policies, err := arena.ParsePolicies(f.policies, choosers(arena.NewOracleCache("")))
	if err != nil {
		return withCode(exitUsage, err)
	}
	rows, failed := playForecasts(ctx, f, scenarios, policies)
	if ctx.Err() != nil {
		return withCode(exitInterrupted, errors.New("interrupted"))
	}
	if f.json {
		for _, r := range rows {
			if err := printJSON(e.stdout, r); err != nil {
				return err
			}
		}
		return failed
	}
	return errors.Join(failed, e.text(func(out io.Writer) error { return writeForecasts(out, rows) }))
}

func writeForecasts(out io.Writer, rows []arena.ForecastRow) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "policy\tload\tjudged\tp99 error, median\tmeasured ÷ forecast, median\t"+
		"90 % covers\tmean error, median\tcovers\t")
	for _, s := range arena.SummariseForecasts(rows) {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f %%\t%.3f\t%.1f %%\t%.1f %%\t%.1f %%\t\n", s.Policy, s.Load, s.Judged,
			100*s.P99Error, s.P99Ratio,
			100*s.P99Covered, 100*s.MeanError, 100*s.MeanCovered)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range arena.UnjudgedForecasts(rows) {
		fmt.Fprintf(out, "\n%s: %s\n", s.Policy, s.Text())
	}
	return nil
}

// playForecasts plays every cell; the error joins those of cells that could not be played.
func playForecasts(
	ctx context.Context, f *forecastsFlags, scenarios []*deathstarbench.Scenario, policies []arena.Policy,
) ([]arena.ForecastRow, error) {
	played := make([][]arena.ForecastRow, len(scenarios)*len(policies)*f.seeds)
	failed := make([]error, len(played))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range played {
		sc, p := scenarios[i/len(policies)/f.seeds], policies[i/f.seeds%len(policies)]
		c := arena.Case{Scenario: sc, Method: p.Method, Seed: f.seed + uint64(i%f.seeds)}
		group.Go(func() (err error) {
			if played[i], err = arena.PlayForecasts(ctx, c, p, arena.SimOptions{}); err != nil {
				failed[i] = &arena.CellError{Scenario: sc.Name, Policy: p.Name, Seed: c.Seed, Err: err}
			}
			return nil
		})
	}
	_ = group.Wait() // failures are kept by cell
	return slices.Concat(played...), errors.Join(failed...)
}
