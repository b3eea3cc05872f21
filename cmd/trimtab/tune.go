package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"trimtab/control"
	"trimtab/daemon"
	"trimtab/helper"
	"trimtab/plain"
)

type tuneFlags struct {
	trainFiles, trainSims                       []string
	config, onExit                              string
	check, once, dryRun, observe, hold, release bool
	single                                      bool
	replay                                      string
}

func newTune(e *env) *cobra.Command {
	var f tuneFlags
	cmd := &cobra.Command{
		Use:   "tune",
		Short: "The daemon: observe, learn, and set the weights that pay",
		Long: `Runs until it is told to stop. At its first start it observes for half an hour and changes nothing. From then
on it changes weights when that pays, within the limits of its configuration, and returns to the last good ones when a
change did not.

  SIGHUP    read the configuration again; a faulty one changes nothing
  SIGUSR1   hold: go on observing and learning, change nothing        SIGUSR2   go on
  SIGTERM   finish or roll back what is under way, then stop; the weights stay, or with --on-exit restore yours return

--hold makes the running daemon hold within one interval, whatever it does, until --release; it outlives restarts.

Started by root it is two processes: one reads the network, learns and decides as the user of the configuration
(user), confined to its own folder; the other one, which is root, reads NGINX's files, changes weights in them, has
NGINX test and load them, and listens to nobody but the first.`,
		Example: `  sudo trimtab tune --config /etc/trimtab/trimtab.toml
  trimtab tune --config trimtab.toml --check-config
  sudo trimtab tune --once --dry-run        # print what it would write now
  sudo trimtab tune --train stats.ndjson.zst   # before the first start: learn from what was recorded
  sudo trimtab tune --hold                  # stop all changes now`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.refuse(cmd); err != nil {
				return err
			}
			return f.run(cmd.Context(), e, cmd.Flags().Changed("config"))
		},
	}
	fl := cmd.Flags()
	pathVar(fl, &f.config, "config", "", daemon.DefaultPath, "configuration file")
	fl.BoolVar(&f.check, "check-config", false, "check the configuration file and what it names, and end; asks "+
		"nobody (trimtab doctor does)")
	fl.BoolVar(&f.once, "once", false, "one decision, for as long as a gain has to last, then end")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print what would be written as a unified diff and change nothing; does "+
		"not wait for the observation period")
	fl.BoolVar(&f.observe, "observe", false, "observe and learn, change nothing")
	fl.BoolVar(&f.hold, "hold", false, "make the daemon hold, running now or started later, and end")
	fl.BoolVar(&f.release, "release", false, "undo --hold and end")
	fl.BoolVar(&f.single, "single-process", false,
		"read the network as root, too: for containers that may not become another user")
	fl.StringVar(&f.onExit, "on-exit", "", "keep or restore the weights at the end (default: as configured)")
	fl.StringArrayVar(&f.trainFiles, "train", nil, "learn from statistics that trimtab collect recorded, keep it in "+
		"the state, and end (repeatable)")
	fl.StringArrayVar(&f.trainSims, "train-sim", nil, "learn by acting in a simulated scenario with the same "+
		"upstreams, keep it in the state, and end (repeatable)")
	fl.StringVar(&f.replay, "replay", "",
		"play a report of an internal fault again, say whether the fault comes again, and end")
	return cmd
}

// refuse refuses flags that contradict each other or have no effect.
func (f *tuneFlags) refuse(cmd *cobra.Command) error {
	ends := []string{"hold", "release", "check-config", "replay", "train"}
	if err := onlyOne(cmd, ends...); err != nil {
		return err
	}
	for _, end := range append(ends, "train-sim") {
		if cmd.Flags().Changed(end) {
			if err := useless(cmd, "with --"+end, "once", "dry-run", "observe", "on-exit",
				"single-process"); err != nil {
				return err
			}
		}
	}
	switch {
	case f.once && f.onExit == "restore":
		return usagef(cmd, "--once --on-exit restore: would set weights and take them back at once; --dry-run "+
			"shows them")
	case f.dryRun && f.onExit != "":
		return useless(cmd, "with --dry-run", "on-exit")
	case f.dryRun && f.observe:
		return useless(cmd, "with --dry-run, which changes nothing", "observe")
	}
	return nil
}

func (f *tuneFlags) run(ctx context.Context, e *env, given bool) error {
	if f.replay != "" {
		return f.playAgain(e)
	}
	// From the first moment on: unheard, these signals would end the process.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	worker, err := daemon.NewWorker()
	switch {
	case err == nil:
		return f.work(ctx, e, worker, signals)
	case !errors.Is(err, helper.ErrAlone):
		return err
	}
	read := func() (*daemon.Config, error) { return f.read(given) }
	cfg, err := read()
	if err != nil {
		return withCode(exitConfig, err)
	}
	switch {
	case f.check:
		for _, w := range cfg.Warnings() {
			fmt.Fprintln(e.stderr, "warning:", w)
		}
		if err := cfg.CheckNamed(); err != nil {
			return withCode(exitConfig, err)
		}
		fmt.Fprintf(e.stdout, "%s is valid: keys, values, and the files and programs that it names; whether NGINX "+
			"and its status page answer: trimtab doctor%s\n",
			f.config, configFlag(f.config))
		return nil
	case f.hold:
		path, err := cfg.Hold()
		if err == nil {
			fmt.Fprintf(e.stdout, "%s: nothing is changed from now on, until trimtab tune --release\n", path)
		}
		return withCode(exitConfig, err)
	case f.release:
		path, err := cfg.Release()
		if err == nil {
			fmt.Fprintf(e.stdout, "%s is gone: changes may be made again\n", path)
		}
		return withCode(exitConfig, err)
	case len(f.trainFiles)+len(f.trainSims) > 0:
		return withCode(exitConfig, daemon.Train(ctx, cfg, daemon.Training{
			Files: f.trainFiles, Scenarios: f.trainSims, Logger: daemon.NewLogger(e.stderr, cfg),
			Told: func(format string, args ...any) { fmt.Fprintf(e.stdout, format, args...) },
		}))
	}
	if os.Geteuid() == 0 && !f.single && !f.dryRun {
		return f.split(ctx, e, cfg, read, signals)
	}
	return f.daemon(ctx, e, cfg, daemon.Options{Reread: read, Signals: signals})
}

// configFlag is the flag that leads another command to the same configuration, with a blank before it; empty: the usual
// one.
func configFlag(path string) string {
	if path == daemon.DefaultPath {
		return ""
	}
	return " --config " + quoted(path)
}

// playAgain plays a report of an internal fault again. A fault that comes again is the error.
func (f *tuneFlags) playAgain(e *env) error {
	r, err := daemon.Replay(f.replay)
	if err != nil {
		return withCode(exitConfig, err)
	}
	fmt.Fprintf(e.stdout, "report of %s by trimtab %s: %s: %s\n%d intervals played\n", r.At.Format(time.RFC3339),
		plain.Text(r.Version), plain.Text(r.Part),
		plain.Text(r.Error), r.Intervals)
	if r.Fault == nil {
		fmt.Fprintln(e.stdout, "the fault does not come again with this program")
		return nil
	}
	if p := (*control.Panic)(nil); errors.As(r.Fault, &p) {
		fmt.Fprintf(e.stdout, "%s\n", p.Stack)
	}
	return fmt.Errorf("the fault comes again: %w", r.Fault)
}

// split runs the daemon in two processes.
func (f *tuneFlags) split(ctx context.Context, e *env, cfg *daemon.Config, read func() (*daemon.Config, error),
	signals <-chan os.Signal) error {
	// The link leads to this program wherever it lies, also where the worker could not find it.
	worker := exec.Command("/proc/self/exe", f.words()...)
	worker.Args[0], worker.Stdout, worker.Stderr = "trimtab", e.stdout, e.stderr
	s := &daemon.Split{Config: cfg, Reread: read, Worker: worker, Signals: signals, Logger: daemon.NewLogger(e.stderr,
		cfg)}
	err := s.Run(ctx)
	if exit := (*daemon.WorkerExit)(nil); errors.As(err, &exit) {
		return &exitError{exit.Code, errors.New("")} // it has said why
	}
	return withCode(tuneCode(err), err)
}

// words are the arguments of the worker.
func (f *tuneFlags) words() []string {
	words := []string{"tune"}
	for word, on := range map[string]bool{"--once": f.once, "--observe": f.observe} {
		if on {
			words = append(words, word)
		}
	}
	if f.onExit != "" {
		words = append(words, "--on-exit", f.onExit)
	}
	return words
}

// work is the part of the daemon that reads the network.
func (f *tuneFlags) work(ctx context.Context, e *env, w *daemon.Worker, signals <-chan os.Signal) error {
	defer w.Helper.Close()
	read := func() (*daemon.Config, error) {
		cfg, err := w.Read()
		if err != nil {
			return nil, err
		}
		return cfg, f.override(cfg)
	}
	cfg, err := read()
	if err != nil {
		return withCode(exitConfig, err)
	}
	if len(w.Lacking) > 0 {
		daemon.NewLogger(e.stderr, cfg).Warn("this kernel cannot confine the process as it should be", "lacking",
			w.Lacking)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-w.Helper.Gone():
			end()
		case <-ctx.Done():
		}
	}()
	err = f.daemon(ctx, e, cfg, daemon.Options{Reread: read, Signals: signals, Helper: w.Helper})
	select {
	case <-w.Helper.Gone():
		return helper.ErrGone
	default:
		return err
	}
}

// daemon runs the daemon in this process.
func (f *tuneFlags) daemon(ctx context.Context, e *env, cfg *daemon.Config, o daemon.Options) error {
	o.Version, o.Observe, o.DryRun, o.Planned, o.Logger = version, f.observe, f.dryRun, f.planned(e),
		daemon.NewLogger(e.stderr, cfg)
	d, err := daemon.New(cfg, o)
	switch {
	case err != nil:
	case f.once:
		err = d.Once(ctx)
	default:
		err = d.Run(ctx)
	}
	return withCode(tuneCode(err), err)
}

// read reads the configuration, with what the flags say otherwise.
func (f *tuneFlags) read(given bool) (*daemon.Config, error) {
	cfg, err := daemon.ReadConfigOr(f.config, given || f.check)
	if err != nil {
		return nil, err
	}
	return cfg, f.override(cfg)
}

func (f *tuneFlags) override(cfg *daemon.Config) error {
	if f.onExit == "" {
		return nil
	}
	cfg.OnExit = f.onExit
	return cfg.Validate()
}

// planned prints what a dry run would write.
func (f *tuneFlags) planned(e *env) func(reason, diff string) {
	return func(reason, diff string) {
		if diff == "" {
			fmt.Fprintln(e.stdout, "nothing to write:", reason)
			return
		}
		fmt.Fprint(e.stdout, "# ", reason, "\n", diff)
	}
}

// tuneCode is the exit code of what the daemon returned.
func tuneCode(err error) int {
	config := (*daemon.ConfigError)(nil)
	switch {
	case errors.As(err, &config):
		return exitConfig
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, control.ErrTelemetry):
		return exitTelemetry
	}
	return applyCode(err)
}
