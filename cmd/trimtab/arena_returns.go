package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/worlds"
)

// noRegimes is the chooser that the tuner is compared with: itself, with regimes turned off.
const noRegimes = "tuned-no-regimes"

type returnsFlags struct {
	arenaFlags
	worlds  int
	first   uint64
	methods string
	rows    string
	plot    string
}

func newArenaReturns(e *env) *cobra.Command {
	var f returnsFlags
	f.world = "sim"
	cmd := &cobra.Command{
		Use:   "returns [flags]",
		Short: "Say what regimes bring in worlds in which load returns",
		Long: `Play the tuner with and without regimes over generated worlds of hours in which regimes of load return
(trimtab scenario random --recurring), and say what its ART in the first three intervals after the return of a regime
that had come twice before is to that without, and its p99 over the day: geometric means over worlds with 95 %
intervals by bootstrap.`,
		Example: `  trimtab arena returns --worlds 30 --first 101
  trimtab arena returns --worlds 1 --first 12 --method round_robin --plot day.png`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runReturns(cmd.Context(), e, &f) },
	}
	fl := cmd.Flags()
	fl.IntVar(&f.worlds, "worlds", 20, "number of generated worlds")
	fl.Uint64Var(&f.first, "first", 1, "seed of the first world; the others count up from it")
	fl.StringVar(&f.methods, "method", "round_robin,least_conn,least_time", "comma-separated list of balancing methods")
	fl.IntVar(&f.seeds, "seeds", 1, "number of seeds in each world")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.IntVar(&f.parallel, "parallel", 0, "blocks played at once (default: one per core)")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload or live")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the table between the marks of returns in this Markdown file")
	fl.StringVar(&f.rows, "rows", "", "file for one JSON object per cell")
	fl.StringVar(&f.plot, "plot", "", "draw the first world, first method and seed into this PNG file")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per method instead of the table")
	return cmd
}

// returnsResults collects what is played.
type returnsResults struct {
	f      *returnsFlags
	spells map[string][]worlds.Regime
	cells  []arena.Recurrence
	traces map[string]*arena.Trace // of the first world and seed, by policy
	drawn  string                  // the world to draw
	done   *arenaProgress
	file   *os.File
}

func runReturns(ctx context.Context, e *env, f *returnsFlags) error {
	if err := wrong(bounded{"worlds", f.worlds, f.worlds >= 1, "at least 1"},
		bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"},
		bounded{"parallel", f.parallel, f.parallel >= 0, "at least 0"}); err != nil {
		return err
	}
	r := &returnsResults{f: f, spells: map[string][]worlds.Regime{}, traces: map[string]*arena.Trace{}}
	var scenarios []*deathstarbench.Scenario
	for i := range f.worlds {
		w := generated(f.first+uint64(i), true)
		r.spells[w.Scenario.Name] = w.Regimes
		scenarios = append(scenarios, w.Scenario)
	}
	r.drawn = scenarios[0].Name
	var list []string
	for _, m := range strings.Split(f.methods, ",") {
		m = strings.TrimSpace(m)
		list = append(list, m+"/tuned", m+"/"+noRegimes)
	}
	policies, err := arena.ParsePolicies(strings.Join(list, ","), choosers(arena.NewOracleCache("")))
	if err != nil {
		return withCode(exitUsage, err)
	}
	world, parallel, err := f.newWorld(e)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if f.rows != "" {
		file, err := os.Create(f.rows)
		if err != nil {
			return withCode(exitConfig, err)
		}
		defer file.Close()
		r.file = file
	}
	var seeds []uint64
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	r.done = newArenaProgress(e, len(scenarios)*len(policies)*len(seeds))
	err = arena.Play(ctx, arena.Config{Scenarios: scenarios, Policies: policies, Seeds: seeds, NewWorld: world,
		Parallel: parallel, OnRow: r.add})
	took := r.done.end()
	if ctx.Err() != nil {
		return withCode(exitInterrupted, fmt.Errorf("interrupted: %d of %d cells are complete", len(r.cells),
			r.done.total))
	}
	if err != nil {
		return err
	}
	return r.report(e, scenarios[0], list, took)
}

func (r *returnsResults) add(row arena.Row, t *arena.Trace) error {
	c := arena.RecurrenceOf(row, t, r.spells[row.Scenario])
	r.cells = append(r.cells, c)
	if row.Scenario == r.drawn && row.Seed == r.f.seed {
		r.traces[row.Policy] = t
	}
	r.done.add()
	if r.file == nil {
		return nil
	}
	return appendJSON(r.file, c)
}

// report prints and writes what was asked for; policies are in pairs, with regimes and without.
func (r *returnsResults) report(e *env, first *deathstarbench.Scenario, policies []string, took time.Duration) error {
	var ratios []arena.RecurrenceRatio
	for i := 0; i < len(policies); i += 2 {
		ratios = append(ratios, arena.CompareRecurrences(r.cells, policies[i], policies[i+1]))
	}
	if r.f.plot != "" {
		traces := []*arena.Trace{r.traces[policies[0]], r.traces[policies[1]]}
		png, err := arena.PlotDay(first, first.Upstreams[0].Name, traces)
		if err == nil {
			err = os.WriteFile(r.f.plot, png, 0o644)
		}
		if err != nil {
			return withCode(exitConfig, err)
		}
	}
	if r.f.markdown != "" {
		var b strings.Builder
		fmt.Fprintf(&b, "%d cells over %d recurring worlds from seed %d on with %d seeds each, played in %s on %d "+
			"cores (trimtab %s).\n\n",
			len(r.cells), r.f.worlds, r.f.first, r.f.seeds, took.Round(time.Second), runtime.GOMAXPROCS(0), version)
		fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(returnsHeads(), " | "),
			strings.Repeat("---:|", len(returnsHeads())-1))
		for _, c := range ratios {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(returnsColumns(c), " | "))
		}
		if err := arena.RewriteMarkdown(r.f.markdown, "returns", []byte(b.String())); err != nil {
			return withCode(exitConfig, err)
		}
	}
	if r.f.json {
		for _, c := range ratios {
			if err := printJSON(e.stdout, c); err != nil {
				return err
			}
		}
		return nil
	}
	return e.text(func(w io.Writer) error {
		tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tab, "%s\t\n", strings.Join(returnsHeads(), "\t"))
		for _, c := range ratios {
			fmt.Fprintf(tab, "%s\t\n", strings.Join(returnsColumns(c), "\t"))
		}
		return tab.Flush()
	})
}

func returnsHeads() []string {
	return []string{"regimes on ÷ off", "ART of returns", "95 %", "p99", "95 %", "worst", "in", "changes/h", "without",
		"worlds", "returns"}
}

func returnsColumns(c arena.RecurrenceRatio) []string {
	ratio := func(e arena.Estimate) (string, string) {
		return fmt.Sprintf("%.3f", e.Mean), fmt.Sprintf("%.3f to %.3f", e.Low, e.High)
	}
	art, artRange := ratio(c.ReturnART)
	p99, p99Range := ratio(c.P99)
	return []string{c.Policy, art, artRange, p99, p99Range, fmt.Sprintf("%.3f", c.WorstP99), c.WorstWorld,
		fmt.Sprintf("%.0f", c.ChangesPerHour), fmt.Sprintf("%.0f", c.BaselineChanges), fmt.Sprint(c.Worlds),
		fmt.Sprint(c.Returns)}
}
