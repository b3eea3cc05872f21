package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"trimtab/loadgen"
	"trimtab/trusted"
)

// loadFlags are the flags of trimtab load.
type loadFlags struct {
	what   loadTarget
	when   loadArrivals
	client loadClient
	out    loadOutputs

	workers, maxWorkers int
	latenessBound       time.Duration
	drain               time.Duration
	realtime            bool
	json                bool
	failIf              []string
	command             string
}

func newLoad(e *env) *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use:   "load URL [--workload W] --rate R --duration D [flags]",
		Short: "Send open-loop load with faithful arrivals and latencies that count from the due time",
		Long: `Send requests when they are due, whatever the server does, and measure each from its due time to its complete
answer. Arrivals are fixed, exp (Poisson), norm or zipf; the rate is constant, in steps, ramps or a sine. A schedule
drives several workloads at once, each with its own bursts: drawn at random, or read from a file that repeats it
exactly.

The report says when the run is not valid as open loop (the generator was late or sent less than was due), and how the
gaps between requests compare with the law that was asked for. Ctrl-C ends the load, waits for answers as long as
--drain says, and still writes every report.

Exit codes: 0 sent, whatever the answers were, as long as one was good; 1 every request failed; 2 wrong usage; 3 a
file that cannot be read or written; 8 a limit of --fail-if was crossed; 130 interrupted.`,
		Example: `  trimtab load http://127.0.0.1:8080/ --rate 2000 --arrival exp --duration 1m
  echo "GET http://127.0.0.1:8080/" | trimtab load --targets - --rate 50/1s --duration 30s
  trimtab load --target http://nginx --workload mixed --rate 500 --duration 5m --report load.json --html load.html
  trimtab load --target http://nginx --workload compose-post --steps 0s=100,60s=800 --duration 2m --seed 7
  trimtab load --target http://nginx --schedule random --total 1h --schedule-out drawn.toml
  trimtab load --target http://nginx --schedule drawn.toml --results run.gob && vegeta report run.gob`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = calledAs(cmd, args)
			if err := f.check(cmd, args); err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				f.when.seed = rand.Uint64() >> 12 // exact in JSON readers that use doubles
			}
			return runLoad(cmd.Context(), e, &f)
		},
	}
	fl := cmd.Flags()
	f.what.add(fl)
	f.when.add(fl)
	f.client.add(fl)
	f.out.add(fl)
	fl.IntVar(&f.workers, "workers", 0, "workers that each burst starts with (default 64)")
	fl.IntVar(&f.maxWorkers, "max-workers", 0, "most requests in flight per burst (default 10000)")
	fl.DurationVar(&f.latenessBound, "lateness-bound", 0, "p99 of the lateness above which the run is not valid as "+
		"open loop (default 10ms)")
	fl.DurationVar(&f.drain, "drain", 0, "how long an interrupted load waits for answers (default 5s)")
	fl.BoolVar(&f.realtime, "realtime", false, "run at real-time priority and keep idle processors awake, so that "+
		"nothing on this machine makes requests late (needs root)")
	fl.BoolVar(&f.json, "json", false, "print the report as one JSON object on stdout")
	fl.StringArrayVar(&f.failIf, "fail-if", nil, "end with code 8 when this holds, such as 'p99>200ms' or "+
		"'errors>0.1%' (repeatable)")
	return cmd
}

// runLoad sends the load that the flags describe.
func runLoad(ctx context.Context, e *env, f *loadFlags) (err error) {
	limits, err := parseLimits(f.failIf)
	if err == nil {
		err = limits.known(loadNames()...)
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	schedule, err := f.when.schedule(&f.what)
	if err != nil {
		return err
	}
	workloads, err := f.what.workloads(schedule)
	if err != nil {
		return err
	}
	client, err := f.client.config()
	if err != nil {
		return err
	}
	cfg := loadgen.Config{
		Workloads: workloads, Workers: f.workers, MaxWorkers: f.maxWorkers, LatenessBound: f.latenessBound,
		Drain: f.drain, Client: client,
	}
	if err := cfg.Validate(); err != nil {
		return withCode(exitUsage, err)
	}
	if err := f.when.publish(e, schedule); err != nil {
		return err
	}
	outputs, err := f.out.open(schedule.Names())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, outputs.close()) }()
	progress := newLoadProgress(e)
	cfg.OnSecond = func(s loadgen.Second) {
		outputs.second(s)
		progress.second(s)
	}
	cfg.OnResult = outputs.result()
	attack, err := loadgen.New(cfg)
	if err != nil {
		return withCode(exitUsage, err)
	}
	outputs.started, progress.attack = attack.Started, attack
	if f.realtime {
		if err := loadgen.Realtime(); err != nil {
			return withCode(exitConfig, err)
		}
		if awake, err := loadgen.StayAwake(); err != nil {
			fmt.Fprintln(e.stderr, "trimtab load: requests may be some 50 µs late:", err)
		} else {
			defer awake.Close()
		}
	}
	report, err := attack.Run(ctx)
	progress.done()
	if err != nil {
		return err
	}
	report.Seed = schedule.Seed
	report.Version, report.Host, report.Target, report.Command = version, hostname(), f.what.target, f.command
	if err := outputs.report(report); err != nil {
		return err
	}
	if f.json {
		err = printJSON(e.stdout, report)
	} else {
		err = e.text(report.WriteText)
	}
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("write report: %w", err))
	}
	if warning := report.Warning(); warning != "" && f.json {
		fmt.Fprintln(e.stderr, warning)
	}
	if report.Interrupted {
		return withCode(exitInterrupted, errors.New("interrupted: the report covers what was sent until then"))
	}
	if err := limits.check(loadValues(&report.Tally)); err != nil || report.Requests == 0 ||
		report.Errors < report.Requests {
		return err
	}
	return fmt.Errorf("all %d requests failed, for instance: %s", report.Requests, sampleOf(report))
}

// sampleOf is an error of the kind that was the most frequent.
func sampleOf(r *loadgen.Report) string {
	most := ""
	for kind, n := range r.ErrorKinds {
		if most == "" || n > r.ErrorKinds[most] || n == r.ErrorKinds[most] && kind < most {
			most = kind
		}
	}
	return cmp.Or(r.ErrorSample[most], most)
}

// check takes the target from the arguments and refuses flags that have no effect.
func (f *loadFlags) check(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		if cmd.Flags().Changed("target") {
			return usagef(cmd, "both %s and --target %s: want one target", args[0], f.what.target)
		}
		f.what.target = args[0]
	}
	if err := f.what.check(); err != nil {
		return withCode(exitUsage, err)
	}
	return errors.Join(f.what.useless(cmd), f.when.useless(cmd), aboveZero(cmd, "duration", "total", "drain",
		"lateness-bound"))
}

// header parses "Name: value" pairs.
func header(lines []string) (http.Header, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	h := http.Header{}
	for _, line := range lines {
		name, value, err := headerLine(line)
		if err != nil {
			return nil, withCode(exitUsage, fmt.Errorf("--header %q: %w", line, err))
		}
		h.Add(name, value)
	}
	return h, nil
}

// create opens a file for writing, or hands out stdout for "-".
func create(path string) (io.WriteCloser, error) {
	file, err := trusted.Create(path, 0o644, false)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("create an output: want a path in a folder that is there and can "+
			"be written to: %w", err))
	}
	return file, nil
}
