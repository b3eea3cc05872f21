package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/trusted"
)

// arenaPolicies are played when --policy does not say which.
const arenaPolicies = "equal,l3,tuned,oracle," +
	"least_conn/equal,least_conn/l3,least_conn/tuned,least_conn/oracle,least_time,peak_ewma"

type arenaFlags struct {
	policies, world, actuator, out, markdown, baseline, cache string
	models                                                    string
	seeds, parallel                                           int
	seed                                                      uint64
	telemetryDelay, duration, warmup                          time.Duration
	lostPolls                                                 float64
	json                                                      bool
	command                                                   string // that gives the same figures again
}

func newArena(e *env) *cobra.Command {
	var f arenaFlags
	cmd := &cobra.Command{
		Use:   "arena [flags] SCENARIO...",
		Short: "Play policies over scenarios, in the simulator or on the testbed, and compare them",
		Long: `Play every policy over every scenario with several seeds and compare latencies, tardiness, errors and
reloads. A SCENARIO is the name of a built-in one, a file, or "all" for all built-in ones that name no objective of
their own.

A policy is chooser or method/chooser, for instance least_conn/tuned; a method alone means equal weights. Choosers:
` + "  " + strings.Join(chooserNames(), ", ") + `.
Methods: round_robin, least_conn, random_two, least_time (NGINX 1.31's least_time last_byte inflight),
least_time_no_inflight (its least_time last_byte) and peak_ewma (two random choices, the lower peak-EWMA); the last
four in the simulator only.
Scenarios with an objective (mesh-…) are for the choosers optimal, which knows loads and faults to come, and pursue;
their rows say which share of optimal's reward a policy had, and how often bounds held.
The oracle knows the scenario: it holds the best static weights of each phase, found by search and kept in a cache.
The clairvoyant makes the tuner's plan of the truth, clairvoyant-late of what was true two intervals before: what the
plan can reach for whoever has to observe.

Results go to stdout: tables, or with --json one object per finished cell. With --out the rows, the courses of the first
seed, an HTML page and its plots as PNG are written to a directory. Rows are written as they finish: an interrupted
arena keeps them.`,
		Example: `  trimtab arena capacity-1-2-4 --policy equal,l3,oracle --seeds 5
  trimtab arena all --policy least_conn/equal,least_conn/l3,least_time --seeds 5 --out arena-out
  trimtab arena my-world.toml --policy tuned --json | jq .latency_ms.p99
  trimtab arena capacity-1-2-4 --world testbed --policy equal,l3 --seeds 3`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			return runArena(cmd.Context(), e, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policy", arenaPolicies, "comma-separated list of chooser or method/chooser")
	fl.StringVar(&f.world, "world", "sim", "where to play: sim or testbed")
	fl.IntVar(&f.seeds, "seeds", 5, "number of seeds")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.StringVar(&f.out, "out", "", "directory for rows.ndjson, trace.ndjson, arena.html and plots")
	fl.StringVar(&f.baseline, "baseline", "", "policy that the others are compared with (default: least_conn/equal, "+
		"else equal, else the first)")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the tables between the arena's marks in this Markdown file")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload or live; admission on the testbed "+
		"wants live")
	fl.DurationVar(&f.duration, "duration", 0, "length of the load (default: the scenario's)")
	fl.DurationVar(&f.warmup, "warmup", 0, "what the scores leave out at the beginning, with --duration (default: "+
		"the scenario's)")
	fl.StringVar(&f.cache, "oracle-cache", "", "directory of the oracle's weights (default: trimtab/oracle in the "+
		"user's cache)")
	fl.StringVar(&f.models, "models", "", "folder of what trimtab arena train left (default: trimtab/models in the "+
		"user's cache)")
	fl.IntVar(&f.parallel, "parallel", 0, "blocks played at once (default: one per core; the testbed always plays one)")
	fl.DurationVar(&f.telemetryDelay, "telemetry-delay", 0, "how old samples are when a policy sees them (simulator)")
	fl.Float64Var(&f.lostPolls, "lost-polls", 0, "probability that a poll fails (simulator)")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per finished cell instead of tables")
	cmd.AddCommand(newArenaWorlds(e), newArenaAblate(e), newArenaForecasts(e), newArenaReturns(e), newArenaValidate(e),
		newArenaServe(e), newArenaReport(e), newArenaTrain(e), newArenaLeaderboard(e), newArenaEdge(e),
		newArenaAutoscale(e))
	return cmd
}

func loadScenarios(names []string) ([]*deathstarbench.Scenario, error) {
	var out []*deathstarbench.Scenario
	var errs []error
	for _, name := range names {
		list := []string{name}
		if name == "all" {
			list = deathstarbench.Names()
		}
		for _, n := range list {
			sc, err := deathstarbench.Load(n)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			// what is judged by another objective than the others is played by name
			if name == "all" && sc.Objective.Kind != "" {
				continue
			}
			if slices.ContainsFunc(out, func(o *deathstarbench.Scenario) bool { return o.Name == sc.Name }) {
				errs = append(errs, fmt.Errorf("scenario %s: named twice", sc.Name))
				continue
			}
			out = append(out, sc)
		}
	}
	return out, errors.Join(errs...)
}

// world returns what makes a world, and how many blocks may be played at once.
func (f *arenaFlags) newWorld(e *env) (make func() (arena.World, error), parallel int, err error) {
	if f.actuator != "reload" && f.actuator != "live" {
		return nil, 0, fmt.Errorf("--actuator %q: want reload or live", f.actuator)
	}
	switch f.world {
	case "sim":
	case "testbed":
		return newTestbedWorld(e, f), 1, nil
	default:
		return nil, 0, fmt.Errorf("--world %q: want sim or testbed", f.world)
	}
	o := arena.SimOptions{Live: f.actuator == "live", TelemetryDelay: f.telemetryDelay, LostPolls: f.lostPolls}
	parallel = f.parallel
	if parallel == 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return func() (arena.World, error) { return arena.NewSimWorld(o), nil }, parallel, nil
}

// shorten gives scenarios another length.
func (f *arenaFlags) shorten(scenarios []*deathstarbench.Scenario) error {
	if f.duration < 0 || f.warmup < 0 || f.warmup > 0 && f.duration == 0 {
		return fmt.Errorf("--duration %s, --warmup %s: want 0 or more, and a warm-up only with a duration", f.duration,
			f.warmup)
	}
	for _, sc := range scenarios {
		if f.duration == 0 {
			continue
		}
		if err := sc.Shorten(f.duration, f.warmup); err != nil {
			return fmt.Errorf("--duration %s, --warmup %s: scenario %s: %w", f.duration, f.warmup, sc.Name, err)
		}
	}
	return nil
}

func runArena(ctx context.Context, e *env, f *arenaFlags, names []string) error {
	if err := wrong(bounded{"seeds", f.seeds, f.seeds >= 1, "at least 1"},
		bounded{"parallel", f.parallel, f.parallel >= 0, "at least 0"},
		bounded{"lost-polls", f.lostPolls, f.lostPolls >= 0 && f.lostPolls < 1, "a probability below 1"},
		bounded{"telemetry-delay", f.telemetryDelay, f.telemetryDelay >= 0, "at least 0s"}); err != nil {
		return err
	}
	scenarios, err := loadScenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if err := f.shorten(scenarios); err != nil {
		return withCode(exitUsage, err)
	}
	cache, err := f.oracleCache()
	if err != nil {
		return withCode(exitConfig, err)
	}
	all := choosers(cache)
	maps.Copy(all, learned(arena.Models{Dir: modelsFolder(f.models)}))
	policies, err := arena.ParsePolicies(f.policies, all)
	if err != nil {
		return withCode(exitUsage, err)
	}
	make, parallel, err := f.newWorld(e)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if f.world == "testbed" {
		if err := checkTestbedPolicies(policies); err != nil {
			return withCode(exitUsage, err)
		}
	}
	seeds := []uint64{}
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	results, err := newArenaResults(e, f, scenarios, policies, len(seeds))
	if err != nil {
		return withCode(exitConfig, err)
	}
	err = arena.Play(ctx, arena.Config{
		Scenarios: scenarios, Policies: policies, Seeds: seeds, NewWorld: make, World: f.world, Parallel: parallel,
		OnRow: results.add,
	})
	return results.finish(ctx, err)
}

func (f *arenaFlags) oracleCache() (*arena.OracleCache, error) {
	if f.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return arena.NewOracleCache(""), nil //nolint:nilerr // no home: search again each time
		}
		f.cache = filepath.Join(dir, "trimtab", "oracle")
	}
	return arena.NewOracleCache(f.cache), nil
}

// chosenBaseline is what the others are compared with.
func chosenBaseline(wanted string, policies []string) string {
	for _, name := range []string{wanted, "least_conn/equal", "least_conn", "equal"} {
		if name != "" && (name == wanted || slices.Contains(policies, name)) {
			return name
		}
	}
	if len(policies) == 0 {
		return ""
	}
	return policies[0]
}

// arenaResults collects what Play tells.
type arenaResults struct {
	e         *env
	f         *arenaFlags
	scenarios []*deathstarbench.Scenario
	policies  []string
	total     int
	progress  *arenaProgress
	rows      []arena.Row
	traces    []*arena.Trace
	rowFile   *os.File
	traceFile *os.File
}

func newArenaResults(e *env, f *arenaFlags, scenarios []*deathstarbench.Scenario, policies []arena.Policy,
	seeds int) (*arenaResults, error) {
	r := &arenaResults{e: e, f: f, scenarios: scenarios, total: len(scenarios) * len(policies) * seeds}
	for _, p := range policies {
		r.policies = append(r.policies, p.Name)
	}
	if f.out != "" {
		if err := os.MkdirAll(f.out, 0o755); err != nil {
			return nil, fmt.Errorf("create the output directory: %w", err)
		}
		var err error
		if r.rowFile, err = trusted.Create(filepath.Join(f.out, "rows.ndjson"), 0o644, false); err != nil {
			return nil, err
		}
		if r.traceFile, err = trusted.Create(filepath.Join(f.out, "trace.ndjson"), 0o644, false); err != nil {
			r.rowFile.Close()
			return nil, err
		}
	}
	r.progress = newArenaProgress(e, r.total)
	return r, nil
}

// add takes one finished cell; the arena calls it from one goroutine at a time.
func (r *arenaResults) add(row arena.Row, trace *arena.Trace) error {
	r.rows = append(r.rows, row)
	first := row.Seed == r.f.seed
	if first {
		r.traces = append(r.traces, trace)
	}
	if r.f.json {
		if err := printJSON(r.e.stdout, row); err != nil {
			return fmt.Errorf("write the row: %w", err)
		}
	}
	if r.rowFile != nil {
		if err := appendJSON(r.rowFile, row); err != nil {
			return err
		}
		if first {
			if err := appendJSON(r.traceFile, trace); err != nil {
				return err
			}
		}
	}
	r.progress.add()
	return nil
}

// appendJSON writes one complete line.
func appendJSON(f *os.File, v any) error {
	if err := printJSON(f, v); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return nil
}

// finish reports what there is, complete or not, and says what is missing.
func (r *arenaResults) finish(ctx context.Context, failed error) error {
	took := r.progress.end()
	var errs []error
	if r.rowFile != nil {
		errs = append(errs, r.rowFile.Close(), r.traceFile.Close())
	}
	names := []string{}
	for _, sc := range r.scenarios {
		names = append(names, sc.Name)
	}
	arena.SortRows(r.rows, names, r.policies)
	baseline := chosenBaseline(r.f.baseline, r.policies)
	summaries := arena.Summarise(r.rows, baseline)
	if !r.f.json && len(r.rows) > 0 {
		errs = append(errs, r.e.text(func(w io.Writer) error { return arena.WriteTable(w, summaries, baseline) }))
	}
	if r.f.out != "" && len(r.rows) > 0 {
		page := arena.Page{
			Title: "Trimtab arena", Command: "trimtab arena " + strings.Join(names, " ") + " --policy " + r.f.policies +
				fmt.Sprintf(" --seeds %d --seed %d", r.f.seeds, r.f.seed),
			Version: version, Took: took.Round(time.Second), Baseline: baseline, Scenarios: r.scenarios,
			Policies: r.policies, Rows: r.rows, Traces: r.traces,
		}
		path, plots, err := page.Write(r.f.out)
		errs = append(errs, err)
		if err == nil {
			fmt.Fprintf(r.e.stderr, "arena: %d rows in %s, page %s, %d plots beside it\n", len(r.rows),
				filepath.Join(r.f.out, "rows.ndjson"), path, len(plots))
		}
	}
	if r.f.markdown != "" && failed == nil {
		errs = append(errs, rewriteArenaMarkdown(r.f.markdown, r.f.command, r.rows, summaries, baseline, took))
	}
	if ctx.Err() != nil {
		return withCode(exitInterrupted, fmt.Errorf("interrupted: %d of %d rows are complete%s: %w", len(r.rows),
			r.total, r.kept(), cellOf(failed)))
	}
	if failed != nil {
		return errors.Join(fmt.Errorf("%d of %d rows are complete%s: %w", len(r.rows), r.total, r.kept(), failed),
			errors.Join(errs...))
	}
	return withCode(exitConfig, errors.Join(errs...))
}

// cellOf is the first failing cell in an error, or the error itself.
func cellOf(err error) error {
	if cell := (*arena.CellError)(nil); errors.As(err, &cell) {
		return cell
	}
	return err
}

func (r *arenaResults) kept() string {
	if r.rowFile == nil {
		return ""
	}
	return " and kept in " + filepath.Join(r.f.out, "rows.ndjson")
}
