package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
)

// worldsPolicies are played when --policy does not say which: rivals, the tuner, and what bounds it.
const worldsPolicies = "start,tuned,clairvoyant,clairvoyant-late," +
	"least_conn/equal,least_conn/capacity,least_conn/tuned,least_conn/clairvoyant-late," +
	"least_time,least_time/capacity,least_time/tuned,least_time/clairvoyant-late,l3"

type worldsFlags struct {
	arenaFlags
	worlds    int
	first     uint64
	recurring bool
	worst     int
	baselines string
	rows      string
}

func newArenaWorlds(e *env) *cobra.Command {
	var f worldsFlags
	f.world = "sim"
	cmd := &cobra.Command{
		Use:   "worlds [flags] [SCENARIO...]",
		Short: "Play policies over many generated worlds and compare their p99 with a baseline's",
		Long: `Play every policy over generated worlds (trimtab scenario random), or over the given scenarios, and say what
its p99 is to the baseline's: the geometric mean over worlds with a 95 % interval by bootstrap over worlds, in how
many worlds it is above 1.02, 1.05 and 2, and the worst worlds with their seeds. Within a world the seeds are averaged
first, geometrically. Requests that fail fast make p99 low: errors stand beside it.

A cell that fails, for instance because the policy panics, does not end the others: it is counted and named.`,
		Example: `  trimtab arena worlds --worlds 60 --seeds 3
  trimtab arena worlds --worlds 200 --first 1001 --policy start,tuned --baseline least_conn/equal,start
  trimtab arena worlds --recurring --worlds 10 --policy least_conn/equal,least_conn/tuned
  trimtab arena worlds my-worlds/*.toml --policy tuned --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runWorlds(cmd.Context(), e, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.IntVar(&f.worlds, "worlds", 60, "number of generated worlds")
	fl.Uint64Var(&f.first, "first", 1, "seed of the first world; the others count up from it")
	fl.BoolVar(&f.recurring, "recurring", false, "generate worlds of hours in which regimes of load return")
	fl.StringVar(&f.policies, "policy", worldsPolicies, "comma-separated list of chooser or method/chooser")
	fl.StringVar(&f.baselines, "baseline", "least_conn/equal", "comma-separated list of policies to compare the "+
		"others with")
	fl.IntVar(&f.seeds, "seeds", 3, "number of seeds in each world")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.IntVar(&f.worst, "worst", 10, "how many of the worst worlds of each policy to list")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload or live")
	fl.StringVar(&f.cache, "oracle-cache", "", "directory of the oracle's weights (default: in the user's cache)")
	fl.IntVar(&f.parallel, "parallel", 0, "blocks played at once (default: one per core)")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the tables between the worlds' marks in this Markdown file")
	fl.StringVar(&f.rows, "rows", "", "file for one JSON object per finished cell, as trimtab arena report reads them")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per comparison, world and failed cell instead of tables")
	return cmd
}

// worldsResults collects what is played.
type worldsResults struct {
	e        *env
	f        *worldsFlags
	about    map[string]string // what each world is made of
	named    bool              // the worlds were named, not generated
	policies []string
	progress *arenaProgress
	rows     []arena.Row
	failures []*arena.CellError
	file     *os.File
}

func runWorlds(ctx context.Context, e *env, f *worldsFlags, names []string) error {
	if err := wrong(bounded{"worlds", f.worlds, f.worlds >= 1, "at least 1"},
		bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"},
		bounded{"parallel", f.parallel, f.parallel >= 0, "at least 0"},
		bounded{"worst", f.worst, f.worst >= 0, "at least 0"}); err != nil {
		return err
	}
	r := &worldsResults{e: e, f: f, about: map[string]string{}}
	scenarios, err := r.scenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	cache, err := f.oracleCache()
	if err != nil {
		return withCode(exitConfig, err)
	}
	list, baselines := strings.Split(f.policies, ","), strings.Split(f.baselines, ",")
	for i := range baselines {
		baselines[i] = strings.TrimSpace(baselines[i])
		if !slices.ContainsFunc(list, func(p string) bool { return strings.TrimSpace(p) == baselines[i] }) {
			list = append(list, baselines[i])
		}
	}
	policies, err := arena.ParsePolicies(strings.Join(list, ","), choosers(cache))
	if err != nil {
		return withCode(exitUsage, err)
	}
	for _, p := range policies {
		r.policies = append(r.policies, p.Name)
	}
	make, parallel, err := f.newWorld(e)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if f.rows != "" {
		if r.file, err = os.Create(f.rows); err != nil {
			return withCode(exitConfig, err)
		}
	}
	var seeds []uint64
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	r.progress = newArenaProgress(e, len(scenarios)*len(policies)*len(seeds))
	err = arena.Play(ctx, arena.Config{
		Scenarios: scenarios, Policies: policies, Seeds: seeds, NewWorld: make, Parallel: parallel,
		OnRow: r.add, OnFailure: r.fail,
	})
	return r.finish(ctx, baselines, err)
}

// scenarios are the named ones, or the generated.
func (r *worldsResults) scenarios(names []string) ([]*deathstarbench.Scenario, error) {
	if len(names) == 0 {
		var out []*deathstarbench.Scenario
		for i := range r.f.worlds {
			w := generated(r.f.first+uint64(i), r.f.recurring)
			r.about[w.Scenario.Name] = w.About
			out = append(out, w.Scenario)
		}
		return out, nil
	}
	r.named = true
	out, err := loadScenarios(names)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a built-in one
		}
		if sc, err := deathstarbench.Parse(name, text); err == nil {
			r.about[sc.Name] = describe(text)
		}
	}
	for _, sc := range out {
		if text, err := deathstarbench.Source(sc.Name); err == nil && r.about[sc.Name] == "" {
			r.about[sc.Name] = describe(text)
		}
	}
	return out, nil
}

func (r *worldsResults) add(row arena.Row, _ *arena.Trace) error {
	r.rows = append(r.rows, row)
	r.progress.add()
	if r.file == nil {
		return nil
	}
	return appendJSON(r.file, row)
}

func (r *worldsResults) fail(e *arena.CellError) {
	r.failures = append(r.failures, e)
	r.progress.add()
}

// finish reports what there is, complete or not.
func (r *worldsResults) finish(ctx context.Context, baselines []string, failed error) error {
	took := r.progress.end()
	errs := []error{failed}
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	comparisons := arena.CompareWorlds(r.rows, r.failures, r.policies, baselines)
	report := &arena.WorldsReport{Comparisons: comparisons, About: r.about, Worst: r.f.worst}
	switch {
	case r.f.json:
		errs = append(errs, r.printJSON(report))
	case len(r.rows) > 0:
		errs = append(errs, r.e.text(report.WriteText))
	}
	if ctx.Err() != nil {
		err := fmt.Errorf("interrupted: %d of %d cells are complete", len(r.rows), r.progress.total)
		return withCode(exitInterrupted, err)
	}
	if r.f.markdown != "" && failed == nil {
		errs = append(errs, withCode(exitConfig, r.rewriteMarkdown(report, took)))
	}
	return errors.Join(append(errs, r.tellFailures())...)
}

// tellFailures names the cells that could not be played, and is their error.
func (r *worldsResults) tellFailures() error {
	for _, f := range r.failures {
		fmt.Fprintln(r.e.stderr, "arena:", strings.ReplaceAll(f.Error(), "\n", "; "))
	}
	if len(r.failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d cells could not be played: see the lines above", len(r.failures), r.progress.total)
}
