package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/rival"
	"trimtab/trusted"
)

// leaderWorlds and leaderPolicies are the fixed set of the leaderboard.
const (
	leaderWorlds   = "capacity-1-2-4-40 capacity-1-2-4 capacity-1-2-4-85 mixed-hardware brown-out"
	leaderPolicies = "jsed,prequal,tuned,least_conn/tuned,least_conn,knapsack,rollout,table,dqn,l3,grid,equal,random"
	leaderFloor    = "jsed"
	leaderOurs     = "tuned"
)

type leaderFlags struct {
	train             trainFlags
	policies          string
	floor, reference  string
	markdown, out     string
	seeds, parallel   int
	seed              uint64
	json              bool
	command           string
	began             time.Time
	trained, replayed int
}

func newArenaLeaderboard(e *env) *cobra.Command {
	var f leaderFlags
	cmd := &cobra.Command{
		Use:   "leaderboard [flags] [SCENARIO...]",
		Short: "Train and play all policies on a fixed set of worlds, and say which differences are significant",
		Long: `Train what has to be trained, play every policy on every world with every seed, and write one table: p99 against the floor (jsed, which
knows everything), ART, errors, changes, training time and decision time, with 95 % intervals over seeds, and which policies differ
significantly from the reference (paired t-test of logarithms, Holm's correction).

Without SCENARIOs the worlds are ` + leaderWorlds + `.
Models and finished cells are kept in --out and used again: an interrupted leaderboard goes on. Delete the folder to begin anew.`,
		Example: `  trimtab arena leaderboard --seeds 20 --out out/leaderboard
  trimtab arena leaderboard capacity-1-2-4 --policy jsed,tuned,l3,dqn --seeds 5`,
		Args: usageArgs(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = commandLine(cmd, args)
			if len(args) == 0 {
				args = strings.Fields(leaderWorlds)
			}
			return runLeaderboard(cmd.Context(), e, &f, args)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policy", leaderPolicies, "comma-separated list of chooser or method/chooser")
	fl.StringVar(&f.floor, "floor", leaderFloor, "policy whose p99 is the floor")
	fl.StringVar(&f.reference, "reference", leaderOurs, "policy that the others are tested against")
	fl.IntVar(&f.seeds, "seeds", 20, "number of seeds")
	fl.Uint64Var(&f.seed, "seed", 1, "first seed; the others count up from it")
	fl.StringVar(&f.out, "out", "out/leaderboard", "folder of models, learning curves and finished cells")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the tables between the leaderboard's marks in this Markdown file")
	fl.IntVar(&f.train.episodes, "episodes", 500, "episodes of training at most")
	fl.DurationVar(&f.train.budget, "time", 10*time.Minute, "time of training of each learner at most")
	fl.IntVar(&f.train.seeds, "learners", 2, "learners of each kind on each world; the best is played")
	fl.IntVar(&f.parallel, "parallel", 0, "cells and learners at once (default: one per core)")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per policy instead of tables")
	return cmd
}

func runLeaderboard(ctx context.Context, e *env, f *leaderFlags, names []string) error {
	if f.seeds < 2 || f.parallel < 0 || f.train.seeds < 1 || f.train.episodes < 1 || f.train.budget < 0 {
		return withCode(exitUsage, fmt.Errorf("--seeds %d, --parallel %d, --learners %d, --episodes %d, --time %s: want at least 2, 0, 1, 1, 0",
			f.seeds, f.parallel, f.train.seeds, f.train.episodes, f.train.budget))
	}
	f.began = time.Now()
	scenarios, err := loadScenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	models := arena.Models{Dir: filepath.Join(f.out, "models")}
	all := choosers(arena.NewOracleCache(filepath.Join(f.out, "oracle")))
	for name, make := range models.Choosers() {
		all[name] = make
	}
	policies, err := arena.ParsePolicies(f.policies, all)
	if err != nil {
		return withCode(exitUsage, err)
	}
	for _, want := range []string{f.floor, f.reference} {
		if !slices.ContainsFunc(policies, func(p arena.Policy) bool { return p.Name == want }) {
			return withCode(exitUsage, fmt.Errorf("--policy %s: %s is not among them: it is the floor or the reference", f.policies, want))
		}
	}
	if err := os.MkdirAll(models.Dir, 0o755); err != nil {
		return withCode(exitConfig, fmt.Errorf("create the folder of models: %w", err))
	}
	if err := f.trainAll(ctx, e, scenarios, policies, models); err != nil {
		return err
	}
	cells, err := f.play(ctx, e, scenarios, policies)
	if err != nil {
		return err
	}
	return f.report(e, scenarios, policies, models, arena.Leaders(cells, f.floor, f.reference))
}

// trainAll trains what has no model yet.
func (f *leaderFlags) trainAll(ctx context.Context, e *env, scenarios []*deathstarbench.Scenario, policies []arena.Policy, models arena.Models) error {
	t := &f.train
	t.models, t.out, t.checkpoints = models.Dir, filepath.Join(f.out, "curves"), filepath.Join(f.out, "checkpoints")
	t.actions, t.levels, t.gamma, t.every, t.plays, t.patience, t.seed, t.parallel = rival.ActSteps, "1,3,5", 0.9, 20, 6, 15, 1, f.parallel
	makers, err := t.trainees()
	if err != nil {
		return err
	}
	cache := arena.NewOracleCache(filepath.Join(f.out, "oracle"))
	tab := tabwriter.NewWriter(e.stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, sc := range scenarios {
		for _, p := range policies {
			make := makers[p.Chooser]
			if make == nil {
				continue
			}
			f.trained++
			t.method = p.Method
			if _, err := os.Stat(models.Path(p.Chooser, sc.Name, p.Method)); err == nil {
				continue
			}
			if err := t.train(ctx, e, sc, p.Chooser, make, cache, models, tab); err != nil {
				return errors.Join(err, tab.Flush())
			}
		}
	}
	return tab.Flush()
}

// play plays the cells that are not in the folder yet, and returns all.
func (f *leaderFlags) play(ctx context.Context, e *env, scenarios []*deathstarbench.Scenario, policies []arena.Policy) ([]arena.LeaderCell, error) {
	path := filepath.Join(f.out, "cells.ndjson")
	cells, err := readCells(path)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	file, err := trusted.Create(path, 0o644, true)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	defer file.Close()
	var seeds []uint64
	for i := range f.seeds {
		seeds = append(seeds, f.seed+uint64(i))
	}
	wanted := func(c *arena.LeaderCell) bool {
		return slices.Contains(seeds, c.Seed) && slices.ContainsFunc(scenarios, func(s *deathstarbench.Scenario) bool { return s.Name == c.Scenario }) &&
			slices.ContainsFunc(policies, func(p arena.Policy) bool { return p.Name == c.Policy })
	}
	cells = slices.DeleteFunc(cells, func(c arena.LeaderCell) bool { return !wanted(&c) })
	f.replayed = len(cells)
	progress := newArenaProgress(e, len(scenarios)*len(policies)*len(seeds))
	progress.done = len(cells)
	watch := arena.NewStopwatch()
	for _, sc := range scenarios {
		for _, p := range policies {
			left := slices.DeleteFunc(slices.Clone(seeds), func(s uint64) bool {
				return slices.ContainsFunc(cells, func(c arena.LeaderCell) bool { return c.Seed == s && c.Policy == p.Name && c.Scenario == sc.Name })
			})
			if len(left) == 0 {
				continue
			}
			err := arena.Play(ctx, arena.Config{Scenarios: []*deathstarbench.Scenario{sc}, Policies: []arena.Policy{watch.Time(p)}, Seeds: left,
				Parallel: f.parallel, OnRow: func(r arena.Row, _ *arena.Trace) error {
					c := watch.Cell(r)
					cells = append(cells, c)
					progress.add()
					return appendJSON(file, c)
				}})
			if err != nil {
				progress.end()
				if ctx.Err() != nil {
					return nil, withCode(exitInterrupted, fmt.Errorf("interrupted: %d cells are complete and kept in %s", len(cells), path))
				}
				return nil, err
			}
		}
	}
	progress.end()
	return cells, nil
}

// readCells reads what is finished; a last line that was cut off is left out.
func readCells(path string) ([]arena.LeaderCell, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read finished cells: %w", err)
	}
	defer file.Close()
	var out []arena.LeaderCell
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var c arena.LeaderCell
		if json.Unmarshal(lines.Bytes(), &c) == nil {
			out = append(out, c)
		}
	}
	return out, lines.Err()
}

// report prints and writes the tables.
func (f *leaderFlags) report(e *env, scenarios []*deathstarbench.Scenario, policies []arena.Policy, models arena.Models, leaders []arena.Leader) error {
	took := time.Since(f.began)
	trained := func(name string) float64 {
		i := slices.IndexFunc(policies, func(p arena.Policy) bool { return p.Name == name })
		sum, n := 0.0, 0
		for _, sc := range scenarios {
			if m, err := rival.OpenModel(models.Path(policies[i].Chooser, sc.Name, policies[i].Method), policies[i].Chooser); err == nil {
				sum, n = sum+m.Trained.Seconds, n+1
			}
		}
		if n == 0 {
			return -1
		}
		return sum / float64(n)
	}
	var worlds []string
	for _, sc := range scenarios {
		worlds = append(worlds, sc.Name)
	}
	var rows, byWorld [][]string
	for i := range leaders {
		if f.json {
			if err := printJSON(e.stdout, leaders[i]); err != nil {
				return err
			}
		}
		rows = append(rows, leaders[i].Columns(trained(leaders[i].Policy)))
		byWorld = append(byWorld, leaders[i].WorldColumns(worlds))
	}
	heads, worldHeads := arena.LeaderHeads(f.floor, f.reference), append([]string{"p99, ms"}, worlds...)
	if !f.json {
		tab := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tab, "%s\t\n", strings.Join(heads, "\t"))
		for _, r := range rows {
			fmt.Fprintf(tab, "%s\t\n", strings.Join(r, "\t"))
		}
		fmt.Fprintf(tab, "\n%s\t\n", strings.Join(worldHeads, "\t"))
		for _, r := range byWorld {
			fmt.Fprintf(tab, "%s\t\n", strings.Join(r, "\t"))
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	if f.markdown == "" {
		return nil
	}
	text := fmt.Sprintf("`%s`: %d policies on %d worlds with %d seeds, %d trainings; %s on %d cores", f.command, len(policies), len(worlds), f.seeds,
		f.trained, took.Round(time.Second), runtime.GOMAXPROCS(0))
	if f.replayed > 0 {
		text += fmt.Sprintf(" for what an earlier run had not finished (%d cells were there)", f.replayed)
	}
	text += fmt.Sprintf(" on %s (trimtab %s).\n\n%s\n%s", time.Now().UTC().Format(time.DateOnly), version, arena.MarkdownTable(heads, rows), arena.MarkdownTable(worldHeads, byWorld))
	if err := arena.RewriteMarkdown(f.markdown, "leaderboard", []byte(text)); err != nil {
		return withCode(exitConfig, err)
	}
	return nil
}
