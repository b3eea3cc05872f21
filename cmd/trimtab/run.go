package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trimtab/arena"
	"trimtab/arena/testbed"
	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/reload"
	"trimtab/vts"
)

// defaultScenario is what `make run` runs.
const defaultScenario = "capacity-1-2-4"

type runFlags struct {
	scenario, out, policy, listen, actuator string
	duration                                time.Duration
	seed                                    uint64
	json, open                              bool
	client                                  clientFlags
	failIf                                  []string
	command                                 string
}

func newRun(e *env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [STATS.ndjson]",
		Short: "Run the embedded testbed end to end, or with --lb drive an NGINX and collect its statistics",
		Long: `Without --lb: start the emulated backends of a scenario and a private NGINX, send load through it, first
with the starting weights, then tuned, and report both parts side by side. Everything listens on loopback, is written
below --out, and ends with the run.

With --lb: drive that NGINX with the three workloads of the social network on the randomised schedule and collect its
statistics into STATS.ndjson until the load ends. Nothing is started or tuned here.`,
		Example: `  trimtab run
  trimtab run --scenario capacity-1-2-4 --duration 2m --out out/first
  trimtab run --lb http://nginx.example --duration 30m stats.ndjson`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.command = calledAs(cmd, args)
			if err := f.refuse(cmd); err != nil {
				return err
			}
			if !cmd.Flags().Changed("seed") {
				f.seed = rand.Uint64() >> 12 // exact in JSON readers that use doubles
			}
			if f.client.lb != "" {
				return runClient(cmd.Context(), e, &f, args)
			}
			if len(args) > 0 {
				return withCode(exitUsage, errors.New("a statistics file is written with --lb URL only; without it "+
					"everything goes to --out"))
			}
			return runTestbed(cmd.Context(), e, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.scenario, "scenario", defaultScenario, "built-in scenario or scenario file")
	fl.DurationVar(&f.duration, "duration", 0, "length of the load (default: the scenario's; with --lb 5h)")
	fl.StringVar(&f.out, "out", "out", "output directory")
	fl.StringVar(&f.policy, "policy", "tuned", "who decides in the second part, as in trimtab arena")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload, live (which admission needs), or "+
		"dns (NGINX 1.27.3 and newer)")
	fl.StringVar(&f.listen, "listen", "", "address of the testbed's NGINX (default: loopback, a free port)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of arrivals, requests and service times (default: drawn, and printed)")
	f.client.add(fl)
	fl.BoolVar(&f.json, "json", false, "print the report as one JSON object on stdout")
	fl.BoolVar(&f.open, "open", false, "serve the live page while it runs, and print its address")
	fl.StringArrayVar(&f.failIf, "fail-if", nil, "end with code 8 when this holds of the tuned part, such as "+
		"'p99>200ms', 'errors>0.1%', 'art>2' (repeatable)")
	return cmd
}

// refuse refuses flags without effect and a length that has no room for two parts.
func (f *runFlags) refuse(cmd *cobra.Command) error {
	if err := aboveZero(cmd, "duration"); err != nil {
		return err
	}
	if f.client.lb != "" {
		return useless(cmd, "with --lb, which starts and tunes nothing", "scenario", "out", "policy", "actuator",
			"listen", "open", "json", "fail-if")
	}
	return useless(cmd, "without --lb", "status", "random-rate")
}

// runTestbed is the embedded run.
func runTestbed(ctx context.Context, e *env, f *runFlags) (err error) {
	limits, err := parseLimits(f.failIf)
	if err == nil {
		err = limits.known(runNames()...)
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	sc, err := deathstarbench.Load(f.scenario)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if f.duration == 0 {
		f.duration = sc.Duration.Std()
	}
	// A third of the run is measured on the starting weights, and the first interval has none before it.
	if least := 6 * sc.ControlInterval.Std(); f.duration < least {
		return withCode(exitUsage, fmt.Errorf("--duration %s: want at least %s, six control intervals of the "+
			"scenario: two on the starting weights, four tuned", f.duration, least))
	}
	deadlines, err := arena.Deadlines(sc)
	if err != nil {
		return withCode(exitConfig, err)
	}
	chosen, err := parsePolicy(f.policy)
	if err != nil {
		return withCode(exitUsage, err)
	}
	policy, err := chosen.New(ctx, arena.Case{
		Scenario: sc, Method: chosen.Method, Seed: f.seed, Deadlines: deadlines, FreeChanges: f.actuator != "reload",
	})
	if err != nil {
		return withCode(exitConfig, err)
	}
	if err := checkTestbed(ctx); err != nil {
		return withCode(exitConfig, err)
	}
	resolver, newActuator, err := actuatorFor(ctx, f.actuator)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "scenario %s, %s of load, policy %s, seed %d\n", sc.Name, f.duration, f.policy, f.seed)
	var recorder *vts.Recorder
	live := newStatusLine(e)
	watch := newRunPage(f, sc, policy)
	stopPage, err := watch.serve(ctx, e, f.open)
	if err != nil {
		return withCode(exitConfig, err)
	}
	defer stopPage()
	target := ""
	world := testbed.NewWorld(testbed.WorldConfig{
		Dir: f.out, Listen: f.listen, Resolver: resolver, Live: f.actuator == "live", Duration: f.duration,
		Progress: live.trial,
		Logger:   slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		NewActuator: func(bed *testbed.Testbed) (control.Actuator, func(), error) {
			// The first moment at which the output directory is ours: another run may have it until then.
			if err := removeReport(bed.Dir); err != nil {
				return nil, nil, withCode(exitConfig, err)
			}
			if recorder, err = vts.OpenRecorder(vts.RecorderConfig{Path: filepath.Join(bed.Dir,
				"stats.ndjson")}); err != nil {
				return nil, nil, withCode(exitConfig, err)
			}
			printAddresses(e, bed)
			target = bed.URL
			return newActuator(bed)
		},
		Stats: func(s *vts.Status) error { return recorder.Write(s) },
	})
	live.tuneAt = f.duration / 3
	report, err := world.Trial(ctx, testbed.TrialConfig{
		Run:    arena.Run{Scenario: sc, Method: chosen.Method, Seed: f.seed, Deadlines: deadlines},
		Policy: policy, PolicyName: f.policy, TuneAt: live.tuneAt, Settle: settleTime(sc, f.duration),
		OnInterval: live.interval, OnStep: watch.step,
	})
	live.done()
	if recorder != nil {
		err = errors.Join(err, withCode(exitConfig, recorder.Close()))
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	report.Version, report.Host, report.Target, report.Command = version, hostname(), target, f.command
	report.Seen = watch.recorder.Data()
	if err := report.Write(f.out); err != nil {
		return withCode(exitConfig, err)
	}
	if err := printTrial(e, f, report, watch.why(report)); err != nil {
		return err
	}
	switch {
	case report.Interrupted:
		return withCode(exitInterrupted, errors.New("interrupted: the report covers the run until then"))
	case report.ApplyErrors > 0:
		err := fmt.Errorf("%d changes of weights were not applied, the last because: %w", report.ApplyErrors,
			report.LastApplyError)
		return withCode(applyCode(err), err)
	}
	return limits.check(runValues(report))
}

func printAddresses(e *env, bed *testbed.Testbed) {
	text := fmt.Sprintf("nginx %s (pid %d) on %s, backends", bed.NGINX.Binary, bed.NGINX.PID, bed.URL)
	for _, s := range bed.Scenario.Servers {
		text += fmt.Sprintf(" %s %s", s.Name, bed.Backends.Addr(s.Name))
	}
	e.tell(text)
}

// settleTime is how long after the first decision the tuned part begins: the scenario's warm-up, but no more than a
// sixth of the run.
func settleTime(sc *deathstarbench.Scenario, duration time.Duration) time.Duration {
	return min(sc.Warmup.Std(), duration/6)
}

// checkTestbed says early what is missing for a testbed.
func checkTestbed(ctx context.Context) error {
	if _, err := instance.Binary(ctx); err != nil {
		return err
	}
	_, err := instance.LuaModules()
	return err
}

// testbedActuator returns the actuator for a testbed's nginx.conf: the one that the daemon uses.
func testbedActuator(bed *testbed.Testbed) (control.Actuator, func(), error) {
	client, err := vts.NewClient(vts.ClientConfig{URL: bed.StatusURL, FreshConnections: true})
	if err != nil {
		return nil, nil, withCode(exitConfig, err)
	}
	return reload.Actuator{Applier: &nginx.Applier{
		Config: bed.NGINX.Config, StateDir: filepath.Join(bed.Dir, "state"), Binary: bed.NGINX.Binary,
		Prefix: bed.NGINX.Dir, PIDFile: bed.NGINX.PIDFile(), Status: pageOf(client, bed.NGINX.Config),
	}}, client.Close, nil
}

// removeReport removes what an earlier run left in the output directory, so that a failed run leaves no old report
// that looks like its own.
func removeReport(dir string) error {
	for _, name := range []string{"report.json", "report.html", "latency.png", "stats.ndjson"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the report of an earlier run: %w", err)
		}
	}
	return nil
}

func printTrial(e *env, f *runFlags, r *testbed.Report, why string) error {
	if f.json {
		return printJSON(e.stdout, r)
	}
	for _, fact := range r.Facts() {
		if fact[0] == "Servers" || fact[0] == "Scenario" || fact[0] == "Policy" {
			continue
		}
		if err := e.row(fmt.Sprintf("%-10s", fact[0]), fact[1]); err != nil {
			return err
		}
	}
	return e.text(func(w io.Writer) error { return trialText(w, r, why) })
}

func trialText(w io.Writer, r *testbed.Report, why string) error {
	fmt.Fprintln(w)
	if err := r.WriteTable(w); err != nil {
		return err
	}
	if r.P99Ratio > 0 {
		fmt.Fprintf(w, "\n%s\n", r.Headline())
	}
	fmt.Fprint(w, why)
	if r.Errors > 0 {
		fmt.Fprintf(w, "errors: %s in %d reloads (before 1.27.4 NGINX can cut an idle keep-alive connection at each)\n",
			r.ErrorKinds(), r.Reloads)
	}
	if r.Saturated {
		fmt.Fprintf(w, "warning: requests were sent late (p99 %.1f ms): this machine was too busy for the load to "+
			"count as open\n", r.Lateness.P99)
	}
	for _, name := range []string{"report", "page", "plot", "stats"} {
		fmt.Fprintf(w, "%-7s %s\n", name, r.Files[name])
	}
	return nil
}
