package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/objective"
	"trimtab/rival"
	"trimtab/trusted"
)

type trainFlags struct {
	policies, method, models, out, cache, actuator    string
	actions, levels, checkpoints                      string
	gamma, rate                                       float64
	seeds, episodes, every, plays, patience, parallel int
	seed                                              uint64
	budget                                            time.Duration
	json, hosts                                       bool
}

func newArenaTrain(e *env) *cobra.Command {
	var f trainFlags
	cmd := &cobra.Command{
		Use:   "train [flags] SCENARIO...",
		Short: "Train the learners of the literature on scenarios, in the simulator",
		Long: `Train learners on scenarios and keep the best model of each in a folder, from which trimtab arena and
trimtab tune --observe play it. One learner is trained for each seed; every twentieth episode it is evaluated without
exploring, on seeds that neither training nor the arena use, half of the time from random weights. Training ends after
--episodes, after --time, or when --patience evaluations in a row were no better.

Learners: ` + strings.Join(rival.Trainable(), ", ") + `.

What is unfinished is kept in --checkpoints at every evaluation and when interrupted; the same command goes on from
there, and gives the model that it would have given uninterrupted. With --out the learning curves are written as JSON
and drawn, with the 95 % band over seeds and the gap to the best static weights.`,
		Example: `  trimtab arena train capacity-1-2-4 --policy dqn --seeds 3 --out out/train
  trimtab arena train capacity-1-2-4 --policy dqn --actions levels --levels 1,3,5 --gamma 0.5
  trimtab arena capacity-1-2-4 --policy equal,l3,dqn,tuned`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return runTrain(cmd.Context(), e, &f, args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.policies, "policy", rival.KindDQN, "comma-separated list of learners")
	fl.StringVar(&f.method, "method", "", "balancing method (default: the scenario's)")
	fl.StringVar(&f.models, "models", "", "folder of the models (default: trimtab/models in the user's cache)")
	fl.StringVar(&f.checkpoints, "checkpoints", "", "folder of what is unfinished (default: checkpoints in --models)")
	fl.StringVar(&f.out, "out", "", "folder for the learning curves, as JSON and PNG")
	fl.StringVar(&f.cache, "oracle-cache", "", "directory of the oracle's weights (default: trimtab/oracle in the "+
		"user's cache)")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload or live")
	fl.StringVar(&f.actions, "actions", rival.ActSteps,
		"what a learner of discrete actions may do: "+rival.ActSteps+", "+rival.ActLevels+" or "+actEither+
			", every other learner the one and the other")
	fl.StringVar(&f.levels, "levels", "1,3,5", "weights that --actions levels combines")
	fl.Float64Var(&f.gamma, "gamma", 0.9, "weight of what comes after the next interval, 0 to below 1")
	fl.Float64Var(&f.rate, "rate", 0, "learning rate (default: the learner's)")
	fl.IntVar(&f.seeds, "seeds", 3, "number of learners of each kind")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the first learner; the others count up from it")
	fl.IntVar(&f.episodes, "episodes", 800, "episodes at most")
	fl.IntVar(&f.every, "every", 20, "episodes between two evaluations")
	fl.IntVar(&f.plays, "plays", 6, "runs of an evaluation: few of them pick models that were lucky")
	fl.IntVar(&f.patience, "patience", 15, "evaluations without a better one that end the training")
	fl.DurationVar(&f.budget, "time", 0, "time of each learner at most (default: no limit)")
	fl.IntVar(&f.parallel, "parallel", 0, "learners at once (default: one per core)")
	fl.BoolVar(&f.hosts, "hosts", false, "learners see processor, memory and pressure of the servers' machines too")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per learner instead of a table")
	return cmd
}

// modelsFolder is where models are kept when nothing else is said.
func modelsFolder(wanted string) string {
	if wanted != "" {
		return wanted
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "." // no home
	}
	return filepath.Join(dir, "trimtab", "models")
}

// actEither has every other learner of discrete actions step weights, and the others choose among levels.
const actEither = "either"

// trainees makes learners as the flags say.
func (f *trainFlags) trainees() (map[string]arena.NewTrainee, error) {
	actions, levels := rival.ActionSet{Kind: f.actions}, rival.ActionSet{Kind: rival.ActLevels}
	if f.actions == actEither {
		actions.Kind = rival.ActSteps
	}
	if f.actions != rival.ActSteps {
		for text := range strings.SplitSeq(f.levels, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				return nil, fmt.Errorf("--levels %s: %q is no whole number", f.levels, text)
			}
			levels.Levels = append(levels.Levels, n)
		}
	}
	if f.actions == rival.ActLevels {
		actions = levels
	}
	gamma := f.gamma
	if gamma == 0 {
		gamma = -1 // of a configuration, whose 0 means its default
	}
	return map[string]arena.NewTrainee{
		rival.KindDQN: func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error) {
			c := rival.DQNConfig{Actions: actions, Gamma: gamma, Rate: f.rate, Targets: targets, Seed: seed}
			if f.actions == actEither && seed%2 == 0 {
				c.Actions = levels
			}
			return rival.TrainDQN(s, c)
		},
		rival.KindTD3: func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error) {
			return rival.TrainTD3(s, rival.TD3Config{Gamma: gamma, Rate: f.rate, Targets: targets, Seed: seed})
		},
		rival.KindStudent: func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee,
			error) {
			return rival.TrainStudent(s, rival.TD3Config{Gamma: gamma, Rate: f.rate, Targets: targets, Seed: seed})
		},
		rival.KindTable: func(s rival.Shape, targets map[string]objective.Target, seed uint64) (rival.Trainee, error) {
			return rival.TrainTable(s, rival.TableConfig{Gamma: gamma, Targets: targets, Seed: seed})
		},
	}, nil
}

func (f *trainFlags) validate() error {
	switch {
	case f.seeds < 1 || f.episodes < 1 || f.every < 1 || f.plays < 1 || f.patience < 1 || f.parallel < 0 ||
		f.budget < 0:
		return fmt.Errorf("--seeds %d, --episodes %d, --every %d, --patience %d, --parallel %d, --time %s: want at "+
			"least 1, 1, 1, 1, 0, 0",
			f.seeds, f.episodes, f.every, f.patience, f.parallel, f.budget)
	case !(f.gamma >= 0 && f.gamma < 1) || !(f.rate >= 0 && f.rate < 1):
		return fmt.Errorf("--gamma %v, --rate %v: want 0 to below 1", f.gamma, f.rate)
	case f.actuator != "reload" && f.actuator != "live":
		return fmt.Errorf("--actuator %q: want reload or live", f.actuator)
	case f.method != "" && !slices.Contains(sim.Methods(), sim.Method(f.method)):
		return fmt.Errorf("--method %q: want one of %v", f.method, sim.Methods())
	}
	return nil
}

func runTrain(ctx context.Context, e *env, f *trainFlags, names []string) error {
	makers, err := f.trainees()
	if err == nil {
		err = f.validate()
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	var kinds []string
	for kind := range strings.SplitSeq(f.policies, ",") {
		kind = strings.TrimSpace(kind)
		if makers[kind] == nil {
			return withCode(exitUsage, fmt.Errorf("--policy %s: %q learns nothing before it is played: want %s",
				f.policies, kind, strings.Join(rival.Trainable(), ", ")))
		}
		kinds = append(kinds, kind)
	}
	scenarios, err := loadScenarios(names)
	if err != nil {
		return withCode(exitConfig, err)
	}
	cache, err := (&arenaFlags{cache: f.cache}).oracleCache()
	if err != nil {
		return withCode(exitConfig, err)
	}
	models := arena.Models{Dir: modelsFolder(f.models)}
	if f.checkpoints == "" {
		f.checkpoints = filepath.Join(models.Dir, "checkpoints")
	}
	if err := os.MkdirAll(models.Dir, 0o755); err != nil {
		return withCode(exitConfig, fmt.Errorf("create the folder of models: %w", err))
	}
	tab := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !f.json {
		fmt.Fprintln(tab, "learner\tscenario\tseed\tepisodes\tsteps\ttime\tsteps/s\tbest score\tequal\tbest "+
			"static\tp99 ms\tended\t")
	}
	for _, sc := range scenarios {
		for _, kind := range kinds {
			if err := f.train(ctx, e, sc, kind, makers[kind], cache, models, tab); err != nil {
				return errors.Join(err, tab.Flush())
			}
		}
	}
	return tab.Flush()
}

// train trains the learners of one kind on one scenario and keeps what they leave.
func (f *trainFlags) train(ctx context.Context, e *env, sc *deathstarbench.Scenario, kind string, make arena.NewTrainee,
	cache *arena.OracleCache, models arena.Models, tab *tabwriter.Writer) error {
	c := arena.TrainConfig{Scenario: sc, Method: f.method, Kind: kind, New: make, Episodes: f.episodes, Every: f.every,
		Plays: f.plays, Patience: f.patience,
		Hosts: f.hosts, Budget: f.budget, Parallel: f.parallel, Checkpoints: f.checkpoints,
		Sim: arena.SimOptions{Live: f.actuator == "live"}}
	if c.Parallel == 0 {
		c.Parallel = min(f.seeds, runtime.GOMAXPROCS(0))
	}
	for i := range f.seeds {
		c.Seeds = append(c.Seeds, f.seed+uint64(i))
	}
	line, began := newStatusLine(e), time.Now()
	c.OnPoint = func(seed uint64, p arena.CurvePoint) {
		line.show(time.Since(began), fmt.Sprintf("train %s on %s: seed %d, episode %d of %d, score %.4f, p99 %.1f "+
			"ms, after %s", kind, sc.Name,
			seed, p.Episode, f.episodes, p.Score, p.P99MS, time.Since(began).Round(time.Second)))
	}
	t, err := arena.Train(ctx, c, cache)
	line.clear()
	if err != nil {
		if ctx.Err() != nil {
			return withCode(exitInterrupted, fmt.Errorf("%w (kept in %s: the same command goes on)", err,
				f.checkpoints))
		}
		if errors.Is(err, rival.ErrOtherModel) {
			return withCode(exitConfig, err)
		}
		return err
	}
	if err := t.Model.Save(models.Path(kind, sc.Name, f.method)); err != nil {
		return withCode(exitConfig, err)
	}
	for _, c := range t.Curves {
		if f.json {
			if err := printJSON(e.stdout, curveJSON{kind, sc.Name, c, t.Equal, t.Oracle}); err != nil {
				return err
			}
			continue
		}
		last := arena.CurvePoint{}
		if len(c.Points) > 0 {
			last = c.Points[len(c.Points)-1]
		}
		fmt.Fprintf(tab, "%s\t%s\t%d\t%d\t%d\t%s\t%.0f\t%.4f\t%.4f\t%.4f\t%.1f\t%s\t\n", kind, sc.Name, c.Seed,
			last.Episode, last.Steps,
			time.Duration(last.Seconds*float64(time.Second)).Round(time.Second), c.StepsPerSec, c.Best.Score,
			t.Equal.Score, t.Oracle.Score, c.Best.P99MS, c.Stopped)
	}
	return f.write(t, kind, sc.Name)
}

// write keeps the learning curves.
func (f *trainFlags) write(t *arena.Training, kind, scenario string) error {
	if f.out == "" {
		return nil
	}
	name := filepath.Join(f.out, arena.ModelName(kind, scenario, f.method))
	png, err := t.Plot(kind, scenario)
	if err == nil {
		err = os.MkdirAll(f.out, 0o755)
	}
	if err == nil {
		err = trusted.WriteFile(name+".png", png, 0o644)
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	file, err := trusted.Create(name+".ndjson", 0o644, false)
	if err != nil {
		return withCode(exitConfig, err)
	}
	for _, c := range t.Curves {
		if err := appendJSON(file, c); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	return file.Close()
}

// curveJSON is the course of one training.
type curveJSON struct {
	Learner  string `json:"learner"`
	Scenario string `json:"scenario"`
	arena.Curve
	Equal  arena.CurvePoint `json:"equal"`
	Oracle arena.CurvePoint `json:"best_static"`
}
