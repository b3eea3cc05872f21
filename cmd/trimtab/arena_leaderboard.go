package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
)

// leaderWorlds and leaderPolicies are the fixed set of the leaderboard.
const (
	leaderWorlds   = "capacity-1-2-4-40 capacity-1-2-4 capacity-1-2-4-85 region low-rates brown-out"
	leaderPolicies = "jsed,prequal,tuned,least_conn/tuned,least_conn,knapsack,rollout,table,dqn,td3,student,l3,grid," +
		"equal,random"
	leaderFloor = "jsed"
	leaderOurs  = "tuned"
	// leaderSeed is the first seed of the leaderboard. Settings of learners and of the tuner were chosen on seeds that
	// count from 1 and on those of evaluations: what was chosen there is judged here.
	leaderSeed = 1001
)

type leaderFlags struct {
	train                  trainFlags
	policies               string
	floor, reference       string
	markdown, out          string
	seeds, parallel, steps int
	seed                   uint64
	json                   bool
	command                string
	began                  time.Time
	trained, replayed      int
}

func newArenaLeaderboard(e *env) *cobra.Command {
	var f leaderFlags
	cmd := &cobra.Command{
		Use:   "leaderboard [flags] [SCENARIO...]",
		Short: "Train and play all policies on a fixed set of worlds, and say which differences are significant",
		Long: `Train what has to be trained, play every policy on every world with every seed, and write one table: p99
against the floor (jsed, which knows everything), ART, errors, changes, training time and decision time, with 95 %
intervals over seeds, and which policies differ significantly from the reference (paired t-test of logarithms, Holm's
correction).

Without SCENARIOs the worlds are ` + leaderWorlds + `.
Models and cells that this build finished are kept in --out and used again: an interrupted leaderboard goes on. Delete
the folder to begin anew.`,
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
	fl.Uint64Var(&f.seed, "seed", leaderSeed, "first seed, of none that settings were chosen on; the others count up")
	fl.StringVar(&f.out, "out", "out/leaderboard", "folder of models, learning curves and finished cells")
	fl.StringVar(&f.markdown, "markdown", "", "rewrite the tables between the leaderboard's marks in this Markdown file")
	fl.IntVar(&f.steps, "steps", 12_000, "control intervals that each learner is trained for at most")
	fl.DurationVar(&f.train.budget, "time", 10*time.Minute, "time of training of each learner at most")
	fl.IntVar(&f.train.seeds, "learners", 3, "learners of each kind on each world; the best is played")
	fl.IntVar(&f.parallel, "parallel", 0, "cells and learners at once (default: one per core)")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per policy instead of tables")
	return cmd
}

func runLeaderboard(ctx context.Context, e *env, f *leaderFlags, names []string) error {
	if f.seeds < 2 || f.parallel < 0 || f.train.seeds < 1 || f.steps < 1 || f.train.budget < 0 {
		return withCode(exitUsage, fmt.Errorf("--seeds %d, --parallel %d, --learners %d, --steps %d, --time %s: want at "+
			"least 2, 0, 1, 1, 0", f.seeds, f.parallel, f.train.seeds, f.steps, f.train.budget))
	}
	f.began = time.Now()
	scenarios, err := loadScenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	models := arena.Models{Dir: filepath.Join(f.out, "models")}
	all := choosers(arena.NewOracleCache(filepath.Join(f.out, "oracle")))
	maps.Copy(all, learned(models))
	policies, err := arena.ParsePolicies(f.policies, all)
	if err != nil {
		return withCode(exitUsage, err)
	}
	for _, want := range []string{f.floor, f.reference} {
		if !slices.ContainsFunc(policies, func(p arena.Policy) bool { return p.Name == want }) {
			return withCode(exitUsage, fmt.Errorf("--policy %s: %s is not among them: it is the floor or the reference",
				f.policies, want))
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
func (f *leaderFlags) trainAll(ctx context.Context, e *env, scenarios []*deathstarbench.Scenario,
	policies []arena.Policy, models arena.Models) error {
	t := &f.train
	t.models, t.out, t.checkpoints = models.Dir, filepath.Join(f.out, "curves"), filepath.Join(f.out, "checkpoints")
	t.actions, t.levels, t.gamma = actEither, "1,3,5", 0.9
	t.every, t.plays, t.patience, t.seed, t.parallel = 20, 6, 15, 1, f.parallel
	makers, err := t.trainees()
	if err != nil {
		return err
	}
	cache := arena.NewOracleCache(filepath.Join(f.out, "oracle"))
	tab := tabwriter.NewWriter(e.stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, sc := range scenarios {
		intervals := int(sc.Duration.Std() / sc.ControlInterval.Std())
		t.episodes = max(1, (f.steps+intervals-1)/max(intervals, 1))
		t.every = min(20, t.episodes)
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
