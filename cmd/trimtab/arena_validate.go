package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
)

func newArenaValidate(e *env) *cobra.Command {
	f := arenaFlags{world: "testbed"}
	var duration, overhead time.Duration
	var dilate float64
	cmd := &cobra.Command{
		Use:   "validate [flags] SCENARIO...",
		Short: "Play scenarios in the simulator and on the testbed and compare what comes out",
		Long: fmt.Sprintf(`Play each scenario in the simulator and, with the same arrivals, on real NGINX in front of
emulated backends, and print mean, p50, p99 and shares side by side. The simulator is to be trusted when the mean is
within %.0f %%, p99 within %.0f %% and every server's share within %.0f percentage points, for servers below %.0f %%
utilisation; beyond that the command ends with code 1. It takes as long as the scenarios last. The machine must be
quiet: its own delays count as errors; on one that is not, --dilate makes them small.`,
			100*arena.MeanTolerance, 100*arena.P99Tolerance, 100*arena.ShareTolerance, 100*arena.ValidUtilisation),
		Example: `  trimtab arena validate capacity-1-2-4 class-speeds distant
  trimtab arena validate all --duration 60s --policy least_conn/capacity --json`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runArenaValidate(cmd.Context(), e, &f, duration, overhead, dilate, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policy", "capacity,least_conn/equal", "comma-separated list of chooser or "+
		"method/chooser")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of arrivals and service times")
	fl.DurationVar(&duration, "duration", 0, "cut scenarios off after this time (default: play them whole)")
	fl.DurationVar(&overhead, "overhead", 0, "time that NGINX and the network stack of this machine add to every "+
		"response, for the simulator")
	fl.Float64Var(&dilate, "dilate", 1, "multiply all times and divide all rates by this: the same queues, while the "+
		"machine's own delays count less")
	fl.StringVar(&f.out, "out", "", "directory of the testbed's files (default: a temporary one)")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the marks <!-- validate:begin --> and <!-- "+
		"validate:end --> of this Markdown file")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per scenario and policy")
	return cmd
}

func runArenaValidate(ctx context.Context, e *env, f *arenaFlags, duration, overhead time.Duration, dilate float64,
	names []string) error {
	if !(dilate >= 1 && dilate <= 100) || duration < 0 || overhead < 0 {
		return withCode(exitUsage, fmt.Errorf("--dilate %g, --duration %s, --overhead %s: want 1 to 100, and no "+
			"negative times", dilate, duration, overhead))
	}
	scenarios, err := loadScenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	for i, sc := range scenarios {
		if dilate != 1 {
			sc = arena.Dilate(sc, dilate)
			scenarios[i] = sc
		}
		if duration > 0 {
			if scenarios[i], err = arena.Shorten(sc, duration); err != nil {
				return withCode(exitUsage, err)
			}
		}
	}
	policies, err := arena.ParsePolicies(f.policies, choosers(arena.NewOracleCache("")))
	if err == nil {
		err = checkTestbedPolicies(policies)
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	if err := checkTestbed(ctx); err != nil {
		return withCode(exitConfig, err)
	}
	real, err := newTestbedWorld(e, f)()
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer real.Close()
	twin := arena.NewSimWorld(arena.SimOptions{Overhead: overhead})
	outside := 0
	var done []arena.Validation
	for _, sc := range scenarios {
		for _, p := range policies {
			fmt.Fprintf(e.stderr, "arena validate: %s with %s, %s\n", sc.Name, p.Name, sc.Duration.Std())
			v, err := arena.Validate(ctx, sc, p, f.seed, twin, real)
			if ctx.Err() != nil {
				return withCode(exitInterrupted, fmt.Errorf("interrupted: %w", err))
			}
			if err != nil {
				return err
			}
			done = append(done, v)
			if v.Promised && !v.Within {
				outside++
			}
			if f.json {
				if err := printJSON(e.stdout, v); err != nil {
					return err
				}
			}
		}
	}
	if !f.json {
		if err := writeValidations(e, done); err != nil {
			return err
		}
	}
	if f.markdown != "" {
		if err := arena.RewriteMarkdown(f.markdown, "validate", validationMarkdown(done, f.seed, overhead,
			dilate)); err != nil {
			return withCode(exitConfig, err)
		}
	}
	if outside > 0 {
		return fmt.Errorf("%d of %d comparisons are outside the tolerances", outside, len(done))
	}
	return nil
}

// validationMarkdown is the table of validations for a document.
func validationMarkdown(done []arena.Validation, seed uint64, overhead time.Duration, dilate float64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Seed %d, overhead told to the twin: %s, times dilated by %g. Times in ms, twin / testbed.\n\n",
		seed, overhead, dilate)
	b.WriteString("| scenario | policy | busiest server | mean | p50 | p99 | largest difference of a share | errors " +
		"| |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, v := range done {
		s, t := v.Sim, v.Testbed
		fmt.Fprintf(&b, "| %s | %s | %.0f %% | %.1f / %.1f (%+.1f %%) | %.1f / %.1f (%+.1f %%) | %.1f / %.1f (%+.1f "+
			"%%) | %.2f pp | %.2f %% / %.2f %% | %s |\n", v.Scenario, v.Policy, 100*v.Utilisation,
			s.LatencyMS.Mean, t.LatencyMS.Mean, 100*v.MeanError, s.LatencyMS.P50, t.LatencyMS.P50, 100*v.P50Error,
			s.LatencyMS.P99, t.LatencyMS.P99, 100*v.P99Error, 100*v.ShareError, 100*s.ErrorRatio, 100*t.ErrorRatio,
			verdict(v))
	}
	return b.Bytes()
}

func verdict(v arena.Validation) string {
	switch {
	case v.Within:
		return "ok"
	case !v.Promised:
		return "beyond, not promised"
	}
	return "OUTSIDE"
}

func writeValidations(e *env, done []arena.Validation) error {
	return e.text(func(w io.Writer) error { return validationTable(w, done) })
}

func validationTable(w io.Writer, done []arena.Validation) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "scenario\tpolicy\tbusiest\tmean ms sim\ttestbed\terror\tp50 ms sim\ttestbed\terror\tp99 ms "+
		"sim\ttestbed\terror\tshares\terrors sim\ttestbed\t\t")
	for _, v := range done {
		s, t := v.Sim, v.Testbed
		fmt.Fprintf(tab, "%s\t%s\t%.0f %%\t%.1f\t%.1f\t%+.1f %%\t%.1f\t%.1f\t%+.1f %%\t%.1f\t%.1f\t%+.1f %%\t±%.2f "+
			"pp\t%.2f %%\t%.2f %%\t%s\t\n", v.Scenario, v.Policy, 100*v.Utilisation,
			s.LatencyMS.Mean, t.LatencyMS.Mean, 100*v.MeanError, s.LatencyMS.P50, t.LatencyMS.P50, 100*v.P50Error,
			s.LatencyMS.P99, t.LatencyMS.P99, 100*v.P99Error, 100*v.ShareError, 100*s.ErrorRatio, 100*t.ErrorRatio,
			verdict(v))
	}
	return tab.Flush()
}
