package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/page"
	"trimtab/prove"
	"trimtab/vts"
)

type proveFlags struct {
	config, operator, scenario, policy string
	start, stop, release, ahead, json  bool
	html                               string
	plan                               prove.Plan
	measure                            string
	runs                               int
	seed                               uint64
	failIf                             []string
}

func newProve(e *env) *cobra.Command {
	var f proveFlags
	cmd := &cobra.Command{
		Use:   "prove [flags] [FILE]",
		Short: "Prove by an experiment on live traffic what tuning brings",
		Long: `Without a file: what the experiment of the running daemon has found so far, or with --start begin one. It
switches at random between your weights and the tuned ones, block by block, and compares them by an interval that
holds whenever it is looked at. It ends when the result is clear, at once when tuned weights are clearly worse, or at
the end of --duration.

With a file: evaluate statistics that were recorded (trimtab collect) while weights changed, or the file of an
experiment. With --ahead: estimate from recorded statistics how long an experiment has to be. With --simulate: play
experiments in the simulator.`,
		Example: `  trimtab prove --ahead stats.ndjson                 # how long must it be to see 5 %?
  sudo trimtab prove --start --block 10m --duration 6h
  sudo trimtab prove                                 # how it stands, and the result
  sudo trimtab prove --html proof.html               # for the ticket
  trimtab prove stats.ndjson --block 2m
  trimtab prove --simulate capacity-1-2-4-40 --runs 20 --block 1m --duration 1h`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			one := 0
			for _, name := range []string{"start", "stop", "release", "ahead", "simulate"} {
				if cmd.Flags().Changed(name) {
					one++
				}
			}
			if one > 1 {
				return withCode(exitUsage, errors.New("want one of --start, --stop, --release, --ahead and --simulate"))
			}
			f.plan.Measure = prove.Measure(f.measure)
			if !cmd.Flags().Changed("wash-out") {
				f.plan.WashOut = min(f.plan.WashOut, f.plan.Block/4)
			} else if f.plan.WashOut == 0 {
				f.plan.WashOut = -1
			}
			if err := f.plan.Validate(); err != nil {
				return withCode(exitUsage, fmt.Errorf("prove: %w", err))
			}
			limits, err := parseLimits(f.failIf)
			if err != nil {
				return withCode(exitUsage, err)
			}
			switch {
			case f.scenario != "":
				return f.simulate(cmd.Context(), e)
			case f.ahead && len(args) == 1:
				return f.estimate(e, args[0])
			case f.ahead:
				return withCode(exitUsage, errors.New("--ahead: name the file of recorded statistics"))
			case f.start || f.stop || f.release:
				if len(args) > 0 {
					return withCode(exitUsage,
						errors.New("--start, --stop and --release are for the daemon: they take no file"))
				}
				return f.order(e, cmd.Flags().Changed("config"))
			}
			var r prove.Result
			if len(args) == 1 {
				r, err = f.recorded(args[0])
			} else {
				r, err = f.online(cmd.Context(), cmd.Flags().Changed("config"))
			}
			if err != nil {
				return err
			}
			if err := f.print(e, r); err != nil {
				return err
			}
			return limits.check(proofValues(r))
		},
	}
	p := prove.Plan{}.WithDefaults()
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", daemon.DefaultPath, "configuration of the daemon")
	fl.BoolVar(&f.start, "start", false, "begin an experiment in the daemon")
	fl.BoolVar(&f.stop, "stop", false, "end the experiment of the daemon")
	fl.BoolVar(&f.release, "release", false, "let tuned weights act again although they were found worse")
	fl.BoolVar(&f.ahead, "ahead", false, "estimate from recorded statistics what an experiment can see")
	fl.DurationVar(&f.plan.Block, "block", p.Block, "measured part of a block")
	fl.DurationVar(&f.plan.WashOut, "wash-out", p.WashOut,
		"not measured, before each block (default: a quarter of a block, 1m at most)")
	fl.DurationVar(&f.plan.Duration, "duration", p.Duration, "longest experiment")
	fl.StringVar(&f.measure, "measure", string(p.Measure), "that decides: p99, mean or art")
	fl.Float64Var(&f.plan.Alpha, "error-rate", p.Alpha, "probability of finding what is not there, over all looks")
	fl.Float64Var(&f.plan.Margin, "margin", p.Margin, "relative difference that nobody minds")
	fl.Uint64Var(&f.plan.LeastRequests, "least-requests", p.LeastRequests, "requests that a block must hold to count")
	fl.StringVar(&f.operator, "operator", "",
		"recorded statistics: the operator's weights, such as 'api a:80=1,b:80=2; web c:80=1' (default: those at the "+
			"beginning)")
	fl.StringVar(&f.scenario, "simulate", "", "play experiments on this scenario in the simulator")
	fl.StringVar(&f.policy, "policy", "tuned", "simulated: who decides in the tuned arm, as in trimtab arena")
	fl.IntVar(&f.runs, "runs", 20, "simulated: how many experiments")
	fl.Uint64Var(&f.seed, "seed", 1, "simulated: seed of the first experiment")
	fl.BoolVar(&f.json, "json", false, "print one JSON object, the raw blocks included")
	fl.StringVar(&f.html, "html", "", "file for the report as one page")
	fl.StringArrayVar(&f.failIf, "fail-if", nil,
		"end with code 8 when this holds, such as 'p99>+5%' or 'errors>0.1%' (change by tuning; repeatable)")
	return cmd
}

func (f *proveFlags) read(given bool) (*daemon.Config, error) {
	cfg, err := daemon.ReadConfigOr(f.config, given)
	return cfg, withCode(exitConfig, err)
}

// order leaves an order for the daemon.
func (f *proveFlags) order(e *env, given bool) error {
	cfg, err := f.read(given)
	if err != nil {
		return err
	}
	if !daemon.Running(cfg.StateDir) {
		return withCode(exitConfig, fmt.Errorf("prove: no daemon runs on %s: start trimtab tune first", cfg.StateDir))
	}
	o := prove.Order{At: time.Now(), Stop: f.stop || f.release}
	if f.start {
		plan := f.plan
		plan.Deadlines = cfg.ProvePlan().Deadlines
		o.Begin = &plan
	}
	if err := o.Give(cfg.ProveOrderPath()); err != nil {
		return withCode(exitConfig, err)
	}
	if f.start {
		e.say(
			"an experiment begins within %v: blocks of %v after %v, at most %v; trimtab prove shows how it stands\n",
			2*time.Duration(cfg.Interval), f.plan.Block, max(0, f.plan.WashOut), f.plan.Duration)
		return nil
	}
	fmt.Fprintf(e.stdout, "done within %v\n", 2*time.Duration(cfg.Interval))
	return nil
}

// online is what the daemon's experiment has found.
func (f *proveFlags) online(ctx context.Context, given bool) (r prove.Result, err error) {
	cfg, err := f.read(given)
	if err != nil {
		return r, err
	}
	if cfg.Listen != "" {
		r.Experiment = new(prove.Experiment)
		if err = askDaemon(ctx, cfg.Listen, "/prove", &r); err == nil {
			return r, nil
		}
	}
	file, err := prove.Read(cfg.ProvePath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, withCode(exitConfig, fmt.Errorf("prove: no experiment in %s: begin one with trimtab prove --start",
			cfg.StateDir))
	}
	if err != nil {
		return r, withCode(exitConfig, err)
	}
	return file.Result(), nil
}

// recorded evaluates a file: an experiment, or statistics.
func (f *proveFlags) recorded(path string) (r prove.Result, err error) {
	if file, err := prove.Read(path); err == nil {
		return file.Result(), nil
	}
	operator, err := parseOperator(f.operator)
	if err != nil {
		return r, withCode(exitUsage, err)
	}
	stats, err := vts.Open(path)
	if err != nil {
		return r, withCode(exitConfig, err)
	}
	defer stats.Close()
	stats.SkipBad = true
	x, err := prove.Recorded(stats, f.plan, operator)
	if err == nil && x.Elapsed == 0 && stats.Bad > 0 {
		err = stats.LastBad
	}
	if err != nil {
		return r, withCode(exitConfig, fmt.Errorf("prove %s: %w", path, err))
	}
	x.Target, x.Version = path, version
	return x.Result(), nil
}

// estimate says how long an experiment has to be.
func (f *proveFlags) estimate(e *env, path string) error {
	stats, err := vts.Open(path)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer stats.Close()
	stats.SkipBad = true
	p, err := prove.Ahead(stats, f.plan)
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("prove %s: %w", path, err))
	}
	if f.json {
		return printJSON(e.stdout, p)
	}
	e.say("%s\n", p.Words(prove.Effect{Measure: f.plan.Measure, Relative: f.plan.Measure != prove.ART}))
	return nil
}

func (f *proveFlags) print(e *env, r prove.Result) error {
	if f.html != "" {
		file, err := create(f.html)
		if err != nil {
			return err
		}
		p := proofPage(r)
		if err := errors.Join(page.Write(file, page.Data{Report: &p}), file.Close()); err != nil {
			return withCode(exitConfig, err)
		}
	}
	if f.json {
		return printJSON(e.stdout, r)
	}
	return e.text(func(w io.Writer) error {
		_, err := io.WriteString(w, r.Text())
		return err
	})
}

// parseOperator reads "api a:80=1,b:80=2; web c:80=1".
func parseOperator(text string) (map[string]map[string]int, error) {
	out := map[string]map[string]int{}
	for _, group := range strings.Split(text, ";") {
		if group = strings.TrimSpace(group); group == "" {
			continue
		}
		name, list, ok := strings.Cut(group, " ")
		if !ok {
			return nil, fmt.Errorf("--operator %q: want an upstream and its weights, such as 'api a:80=1,b:80=2'",
				group)
		}
		out[name] = map[string]int{}
		for _, one := range strings.Split(list, ",") {
			server, value, ok := strings.Cut(strings.TrimSpace(one), "=")
			n, err := strconv.Atoi(value)
			if !ok || err != nil || n < 1 {
				return nil, fmt.Errorf("--operator %q: want SERVER=WEIGHT", one)
			}
			out[name][server] = n
		}
	}
	return out, nil
}

// proofValues are the changes that tuning brings, as --fail-if names them.
func proofValues(r prove.Result) map[string]float64 {
	out := map[string]float64{}
	for _, x := range r.Effects {
		name := map[prove.Measure]string{prove.P99: "p99", prove.Mean: "mean", prove.ART: "art",
			prove.Errors: "errors", prove.Used: "used"}[x.Measure]
		if name == "" {
			continue
		}
		out[name] = x.Change
	}
	return out
}
