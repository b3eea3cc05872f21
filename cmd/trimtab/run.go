package main

import (
	"context"
	"errors"
	"fmt"
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
	json                                    bool
	client                                  clientFlags
}

func newRun(e *env) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [flags] [STATS.ndjson]",
		Short: "Run the embedded testbed end to end, or with --lb drive an NGINX and collect its statistics",
		Long: `Without --lb: start the emulated backends of a scenario and a private NGINX, send load through it, first with the
starting weights, then tuned, and report both parts side by side. Everything listens on loopback, is written below
--out, and ends with the run.

With --lb: drive that NGINX with the three workloads of the social network on the randomised schedule and collect its
statistics into STATS.ndjson until the load ends. Nothing is started or tuned here.`,
		Example: `  trimtab run
  trimtab run --scenario capacity-1-2-4 --duration 2m --out out/first
  trimtab run --lb http://nginx.example --duration 30m stats.ndjson`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("duration") && f.duration <= 0 {
				return withCode(exitUsage, fmt.Errorf("--duration %s: want more than 0", f.duration))
			}
			if !cmd.Flags().Changed("seed") {
				f.seed = rand.Uint64() >> 12 // exact in JSON readers that use doubles
			}
			if f.client.lb != "" {
				return runClient(cmd.Context(), e, &f, args)
			}
			if len(args) > 0 {
				return withCode(exitUsage, errors.New("a statistics file is written with --lb URL only; without it everything goes to --out"))
			}
			return runTestbed(cmd.Context(), e, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.scenario, "scenario", defaultScenario, "built-in scenario or scenario file")
	fl.DurationVar(&f.duration, "duration", 0, "length of the load (default: the scenario's; with --lb 5h)")
	fl.StringVar(&f.out, "out", "out", "output directory")
	fl.StringVar(&f.policy, "policy", "tuned", "who decides in the second part, as in trimtab arena")
	fl.StringVar(&f.actuator, "actuator", "reload", "how weights change: reload, or dns (NGINX 1.27.3 and newer)")
	fl.StringVar(&f.listen, "listen", "", "address of the testbed's NGINX (default: loopback, a free port)")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of arrivals, requests and service times (default: drawn, and printed)")
	f.client.add(fl)
	fl.BoolVar(&f.json, "json", false, "print the report as one JSON object on stdout")
	return cmd
}

// runTestbed is the embedded run.
func runTestbed(ctx context.Context, e *env, f *runFlags) (err error) {
	sc, err := deathstarbench.Load(f.scenario)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if f.duration == 0 {
		f.duration = sc.Duration.Std()
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
	world := testbed.NewWorld(testbed.WorldConfig{
		Dir: f.out, Listen: f.listen, Resolver: resolver, Duration: f.duration, Progress: live.trial,
		Logger: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		NewActuator: func(bed *testbed.Testbed) (control.Actuator, func(), error) {
			// The first moment at which the output directory is ours: another run may have it until then.
			if err := removeReport(bed.Dir); err != nil {
				return nil, nil, withCode(exitConfig, err)
			}
			if recorder, err = vts.OpenRecorder(vts.RecorderConfig{Path: filepath.Join(bed.Dir, "stats.ndjson")}); err != nil {
				return nil, nil, withCode(exitConfig, err)
			}
			printAddresses(e, bed)
			return newActuator(bed)
		},
		Stats: func(s *vts.Status) error { return recorder.Write(s) },
	})
	live.tuneAt = f.duration / 3
	report, err := world.Trial(ctx, testbed.TrialConfig{
		Run:    arena.Run{Scenario: sc, Method: chosen.Method, Seed: f.seed, Deadlines: deadlines},
		Policy: policy, PolicyName: f.policy, TuneAt: live.tuneAt, Settle: settleTime(sc, f.duration), OnInterval: live.interval,
	})
	live.done()
	if recorder != nil {
		err = errors.Join(err, withCode(exitConfig, recorder.Close()))
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	report.Version = version
	if err := report.Write(f.out); err != nil {
		return withCode(exitConfig, err)
	}
	if err := printTrial(e, f, report); err != nil {
		return err
	}
	switch {
	case report.Interrupted:
		return withCode(exitInterrupted, errors.New("interrupted: the report covers the run until then"))
	case report.ApplyErrors > 0:
		err := fmt.Errorf("%d changes of weights were not applied, the last because: %w", report.ApplyErrors, report.LastApplyError)
		return withCode(applyCode(err), err)
	}
	return nil
}

func printAddresses(e *env, bed *testbed.Testbed) {
	fmt.Fprintf(e.stderr, "nginx %s (pid %d) on %s, backends", bed.NGINX.Binary, bed.NGINX.PID, bed.URL)
	for _, s := range bed.Scenario.Servers {
		fmt.Fprintf(e.stderr, " %s %s", s.Name, bed.Backends.Addr(s.Name))
	}
	fmt.Fprintln(e.stderr)
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

func printTrial(e *env, f *runFlags, r *testbed.Report) error {
	if f.json {
		return printJSON(e.stdout, r)
	}
	if err := r.WriteTable(e.stdout); err != nil {
		return err
	}
	if r.P99Ratio > 0 {
		fmt.Fprintf(e.stdout, "\np99: %.1f ms on the starting weights, %.1f ms tuned: %.1f times lower\n", r.Before.Latency.P99, r.Tuned.Latency.P99, r.P99Ratio)
	}
	if r.Errors > 0 {
		fmt.Fprintf(e.stdout, "errors: %s in %d reloads (before 1.27.4 NGINX can cut an idle keep-alive connection at each)\n", r.ErrorKinds(), r.Reloads)
	}
	if r.Saturated {
		fmt.Fprintf(e.stdout, "warning: requests were sent late (p99 %.1f ms): this machine was too busy for the load to count as open\n", r.Lateness.P99)
	}
	for _, name := range []string{"report", "page", "plot", "stats"} {
		fmt.Fprintf(e.stdout, "%-7s %s\n", name, r.Files[name])
	}
	return nil
}
