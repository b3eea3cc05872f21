package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/journal"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"trimtab/nginx"
	"trimtab/tuner"
)

type tuneFlags struct {
	trainFiles, trainSims                       []string
	config, onExit                              string
	check, once, dryRun, observe, hold, release bool
}

func newTune(e *env) *cobra.Command {
	var f tuneFlags
	cmd := &cobra.Command{
		Use:   "tune",
		Short: "The daemon: observe, learn, and set the weights that pay",
		Long: `Runs until it is told to stop. At its first start it observes for half an hour and changes nothing. From then on it changes
weights when that pays, within the limits of its configuration, and returns to the last good ones when a change did not.

  SIGHUP    read the configuration again; a faulty one changes nothing
  SIGUSR1   hold: go on observing and learning, change nothing        SIGUSR2   go on
  SIGTERM   finish or roll back what is under way, then stop; the weights stay, or with --on-exit restore those of the operator return

--hold makes the running daemon hold within one interval, whatever it does, until --release; it outlives restarts.`,
		Example: `  sudo trimtab tune --config /etc/trimtab/trimtab.toml
  trimtab tune --config trimtab.toml --check-config
  sudo trimtab tune --once --dry-run        # print what it would write now
  sudo trimtab tune --train stats.ndjson.zst   # before the first start: learn from what was recorded
  sudo trimtab tune --hold                  # stop all changes now`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), e, cmd.Flags().Changed("config"))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", defaultDaemonConfigPath, "configuration file")
	fl.BoolVar(&f.check, "check-config", false, "check the configuration file and end")
	fl.BoolVar(&f.once, "once", false, "one control step, then end")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print what would be written as a unified diff and change nothing; does not wait for the observation period")
	fl.BoolVar(&f.observe, "observe", false, "observe and learn, change nothing")
	fl.BoolVar(&f.hold, "hold", false, "make the daemon hold, running now or started later, and end")
	fl.BoolVar(&f.release, "release", false, "undo --hold and end")
	fl.StringVar(&f.onExit, "on-exit", "", "keep or restore the weights at the end (default: as configured)")
	fl.StringArrayVar(&f.trainFiles, "train", nil, "learn from statistics that trimtab collect recorded, keep it in the state, and end (repeatable)")
	fl.StringArrayVar(&f.trainSims, "train-sim", nil, "learn by acting in a simulated scenario with the same upstreams, keep it in the state, and end (repeatable)")
	cmd.MarkFlagsMutuallyExclusive("hold", "release", "check-config")
	return cmd
}

func (f *tuneFlags) run(ctx context.Context, e *env, given bool) error {
	cfg, err := readDaemonConfig(f.config)
	if errors.Is(err, fs.ErrNotExist) && !given {
		cfg, err = defaultDaemonConfig(), nil
	}
	if err == nil && f.onExit != "" {
		cfg.OnExit = f.onExit
		err = cfg.validate()
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	switch {
	case f.check:
		fmt.Fprintf(e.stdout, "%s is valid\n", f.config)
		return nil
	case f.hold:
		return holdFile(e, cfg.holdFile(), true)
	case f.release:
		return holdFile(e, cfg.holdFile(), false)
	case len(f.trainFiles)+len(f.trainSims) > 0:
		return f.train(ctx, e, cfg)
	}
	log := newLogger(e, cfg)
	if !f.dryRun {
		release, err := lockDaemon(cfg.StateDir)
		if err != nil {
			return withCode(exitConfig, err)
		}
		defer release()
	}
	reg := prometheus.NewRegistry()
	d, err := newService(cfg, log, reg)
	if err != nil {
		return err
	}
	d.observe, d.dry = f.observe, f.dryRun
	return f.daemon(ctx, e, d, reg)
}

func newLogger(e *env, cfg *daemonConfig) *slog.Logger {
	level, _ := cfg.level() // validated
	if journald, err := journal.StderrIsJournalStream(); err == nil && journald && e.stderr == os.Stderr {
		return slog.New(newJournalHandler(e.stderr, cfg.LogFormat, level))
	}
	return slog.New(newHandler(e.stderr, cfg.LogFormat, &slog.HandlerOptions{Level: level}))
}

func newHandler(w io.Writer, format string, opts *slog.HandlerOptions) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// holdFile is the kill switch that needs no running daemon.
func holdFile(e *env, path string, hold bool) error {
	if !hold {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return withCode(exitConfig, fmt.Errorf("release: %w", err))
		}
		fmt.Fprintf(e.stdout, "%s is gone: changes may be made again\n", path)
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte("trimtab tune holds while this file exists\n"), 0o600)
	}
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("hold: %w", err))
	}
	fmt.Fprintf(e.stdout, "%s: nothing is changed from now on, until trimtab tune --release\n", path)
	return nil
}

// daemon runs until ctx ends, or for one step.
func (f *tuneFlags) daemon(ctx context.Context, e *env, d *service, reg *prometheus.Registry) error {
	defer func() { d.current().close() }()
	// From the first moment on: unheard, these signals would end the process.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := d.restore(ctx); err != nil {
		return err
	}
	cfg := d.current().cfg
	if cfg.Listen != "" && !f.once && !f.dryRun {
		addr, err := d.serve(ctx, cfg.Listen, reg)
		if err != nil {
			return withCode(exitConfig, err)
		}
		d.log.Info("listening", "address", addr)
	}
	background, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	d.begin(background, &all, d.current())
	if f.once {
		// A whole interval, so that there is something to decide from.
		_, err := d.current().reader.Sample(ctx)
		if err == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(cfg.Interval)):
			}
			_, err = f.step(ctx, e, d)
		} else {
			err = fmt.Errorf("%w: %w", tuner.ErrTelemetry, err)
		}
		return stepCode(err) // the step has saved the state
	}
	d.log.Info("started", "version", version, "upstreams", d.current().names(), "left_out", d.current().leftOut(), "actuator", cfg.Actuator.Kind, "interval", time.Duration(cfg.Interval))
	dog := newWatchdog()
	defer dog.stop()
	dog.allow(cfg.longestStep())
	notify(daemon.SdNotifyReady)
	tick := time.NewTicker(time.Duration(cfg.Interval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return f.end(d)
		case <-dog.beat:
			notify(daemon.SdNotifyWatchdog)
		case s := <-signals:
			f.signal(background, &all, d, s, tick)
			dog.allow(d.current().cfg.longestStep())
		case <-tick.C:
			out, err := f.step(ctx, e, d)
			tell(d, out, err)
		}
	}
}

// step runs one step; a dry run prints what it would have written.
func (f *tuneFlags) step(ctx context.Context, e *env, d *service) (tuner.Outcome, error) {
	out, err := d.Step(ctx)
	if !f.dryRun || err != nil {
		return out, err
	}
	if len(out.Decision.Weights) == 0 {
		if f.once {
			fmt.Fprintln(e.stdout, "nothing to write:", out.Decision.Reason)
		}
		return out, nil
	}
	diff, err := d.current().plan(out.Decision.Weights)
	if err == nil {
		_, err = fmt.Fprint(e.stdout, "# ", out.Decision.Reason, "\n", diff)
	}
	return out, err
}

// stepCode gives what a step returned the exit code of the process.
func stepCode(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return withCode(exitInterrupted, err)
	case errors.Is(err, tuner.ErrTelemetry):
		return withCode(exitTelemetry, err)
	}
	return withCode(applyCode(err), err)
}

func (f *tuneFlags) signal(ctx context.Context, all *sync.WaitGroup, d *service, s os.Signal, tick *time.Ticker) {
	switch s {
	case syscall.SIGUSR1, syscall.SIGUSR2:
		d.pause(s == syscall.SIGUSR1)
	case syscall.SIGHUP:
		notify(daemon.SdNotifyReloading)
		if err := f.reload(ctx, all, d); err != nil {
			d.own.reloadOK.Set(0)
			d.log.Error("configuration not taken over, the old one stays", "error", strings.ReplaceAll(err.Error(), "\n", "; "))
		} else {
			d.own.reloadOK.Set(1)
			d.own.reloadAt.SetToCurrentTime()
			tick.Reset(time.Duration(d.current().cfg.Interval))
			d.log.Info("configuration taken over", "upstreams", d.current().names(), "left_out", d.current().leftOut())
		}
		notify(daemon.SdNotifyReady)
	}
}

// reload reads the configuration, all of it, and then swaps.
func (f *tuneFlags) reload(ctx context.Context, all *sync.WaitGroup, d *service) error {
	cfg, err := readDaemonConfig(f.config)
	if err != nil {
		return err
	}
	if f.onExit != "" {
		cfg.OnExit = f.onExit
	}
	old := d.current().cfg
	if cfg.StateDir != old.StateDir || cfg.Listen != old.Listen {
		return fmt.Errorf("%s: state_dir and listen cannot change while the daemon runs: restart it", f.config)
	}
	next, err := newSession(cfg, d.log)
	if err != nil {
		return err
	}
	d.swap(next)
	d.begin(ctx, all, next)
	return nil
}

// end finishes a run that was asked to stop.
func (f *tuneFlags) end(d *service) error {
	notify(daemon.SdNotifyStopping)
	var err error
	if d.current().cfg.OnExit == "restore" && !f.dryRun {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err = d.putBack(ctx); err != nil {
			d.log.Error("the operator's weights could not be restored", "error", err)
		}
	}
	if !f.dryRun {
		d.save(d.current())
	}
	d.log.Info("stopped", "on_exit", d.current().cfg.OnExit)
	return withCode(applyCode(err), err)
}

// begin starts what a session needs in the background: the poller, and the eye on NGINX's configuration.
func (d *service) begin(ctx context.Context, all *sync.WaitGroup, s *session) {
	ctx, s.cancel = context.WithCancel(ctx)
	s.look()
	all.Go(func() { _ = s.poller.Run(ctx) })
	if s.dns != nil {
		s.dns.begin(ctx, all)
	}
	if s.cfg.Nginx.Config == "" {
		return
	}
	w := &nginx.Watcher{Config: s.cfg.Nginx.Config, Own: s.applier.Owns, Logger: d.log}
	all.Go(func() {
		err := w.Run(ctx, func(c nginx.Change) {
			s.look()
			if c.Err != nil {
				d.own.configUnreadable.Inc()
				d.log.Warn("NGINX's configuration cannot be read: changes are held", "error", c.Err)
				return
			}
			d.own.configEdits.Inc()
			d.log.Info("somebody edited NGINX's configuration: plans are made from the new files", "files", c.Files, "upstreams", s.names(), "left_out", s.leftOut())
		})
		if err != nil {
			d.log.Error("NGINX's configuration is not watched", "error", err)
		}
	})
}
