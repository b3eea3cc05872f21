package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/tuner/params"
)

// Run holds the state folder and steps at every interval until ctx ends; then it finishes or rolls back what is under
// way, and restores the operator's weights when on_exit says so. That it could not begin, or not restore, is an error;
// what goes wrong in between is held, logged and counted.
func (d *Service) Run(ctx context.Context) error {
	return d.running(ctx, func(background context.Context, all *sync.WaitGroup) error {
		cfg := d.current().cfg
		if cfg.Listen != "" && !d.opts.DryRun {
			listen(background, d.log, d.opener(cfg.Listen), d.routes(), listenAgain)
		}
		d.begin(background, all, d.current())
		return d.loop(ctx, background, all)
	})
}

// Once runs steps until one wants a change, for as long as the tuner wants to see a gain last, and ends.
func (d *Service) Once(ctx context.Context) error {
	return d.running(ctx, func(background context.Context, all *sync.WaitGroup) error {
		d.begin(background, all, d.current())
		// A whole interval, so that there is something to decide from.
		if _, err := d.current().reader.Sample(ctx); err != nil {
			return fmt.Errorf("%w: %w", control.ErrTelemetry, err)
		}
		interval := time.Duration(d.current().cfg.Interval)
		patience := time.Duration(params.Default().Persistence * float64(time.Second))
		var out control.Outcome
		var err error
		undecided := func() bool { return err == nil && ctx.Err() == nil && len(out.Decision.Weights) == 0 }
		for seen := time.Duration(0); seen < patience && undecided(); seen += interval {
			select {
			case <-ctx.Done():
			case <-time.After(interval):
			}
			out, err = d.Step(ctx) // which saves the state
		}
		if d.opts.DryRun && err == nil && len(out.Decision.Weights) == 0 {
			d.planned(out.Decision.Reason, "")
		}
		return err
	})
}

// running calls f with what every run needs: the lock of the state folder, the state of the run before, and background
// work that has ended when it returns.
func (d *Service) running(ctx context.Context, f func(background context.Context, all *sync.WaitGroup) error) error {
	if !d.opts.DryRun && d.opts.Helper == nil {
		release, err := lockAll(d.current().cfg, d.log)
		if err != nil {
			return err
		}
		defer release()
		if err := d.current().cfg.takeBack(); err != nil {
			return &ConfigError{err}
		}
	}
	defer func() {
		d.current().letAllIn(d.log)
		d.current().close()
	}()
	if err := d.restore(ctx); err != nil {
		return err
	}
	background, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	return f(background, &all)
}

// loop steps until ctx ends.
func (d *Service) loop(ctx, background context.Context, all *sync.WaitGroup) error {
	cfg := d.current().cfg
	d.log.Info("started", "version", d.opts.Version, "upstreams", d.current().names(), "left_out", d.current().leftOut(),
		"actuator", cfg.Actuator.Kind, "interval", time.Duration(cfg.Interval))
	dog := newWatchdog(d.notify)
	defer dog.stop()
	dog.allow(cfg.longestStep())
	d.notify(daemon.SdNotifyReady)
	tick := time.NewTicker(time.Duration(cfg.Interval))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.end()
		case <-dog.beat:
			d.notify(daemon.SdNotifyWatchdog)
		case s := <-d.opts.Signals:
			d.signal(background, all, s, tick)
			dog.allow(d.current().cfg.longestStep())
		case <-tick.C:
			out, err := d.Step(ctx)
			d.tell(out, err)
		}
	}
}

// planned says what a dry run would write.
func (d *Service) planned(reason, diff string) {
	if d.opts.Planned != nil {
		d.opts.Planned(reason, diff)
	}
}

func (d *Service) signal(ctx context.Context, all *sync.WaitGroup, s os.Signal, tick *time.Ticker) {
	switch s {
	case syscall.SIGUSR1, syscall.SIGUSR2:
		d.pause(s == syscall.SIGUSR1)
	case syscall.SIGHUP:
		d.notify(daemon.SdNotifyReloading)
		var err error
		if fault := d.contain(inReload, func() { err = d.reload(ctx, all) }); fault != nil {
			err = fault
		}
		d.trouble(troubleReload, err)
		if err != nil {
			d.own.reloadOK.Set(0)
			d.log.Error("configuration not taken over, the old one stays", "error", strings.ReplaceAll(err.Error(), "\n", "; "))
		} else {
			d.own.reloadOK.Set(1)
			d.own.reloadAt.SetToCurrentTime()
			tick.Reset(time.Duration(d.current().cfg.Interval))
			d.log.Info("configuration taken over", "upstreams", d.current().names(), "left_out", d.current().leftOut())
		}
		d.notify(daemon.SdNotifyReady)
	}
}

// reload reads the configuration, all of it, and then swaps.
func (d *Service) reload(ctx context.Context, all *sync.WaitGroup) error {
	if d.opts.Reread == nil {
		return nil
	}
	cfg, err := d.opts.Reread()
	if err != nil {
		return err
	}
	old := d.current().cfg
	if cfg.StateDir != old.StateDir || cfg.Listen != old.Listen {
		return fmt.Errorf("%s: state_dir and listen cannot change while the daemon runs: restart it", cfg.path)
	}
	cfg.methods = old.methods // until the files have been read again
	next, err := newSession(cfg, d.log, d.opts.Helper)
	if err != nil {
		return err
	}
	if next.policy, err = d.newPolicy(next); err != nil {
		next.close()
		return err
	}
	if d.opts.Helper != nil {
		if err := d.opts.Helper.Adopt(); err != nil {
			next.close()
			return err
		}
	}
	d.warn(cfg)
	d.swap(next)
	d.begin(ctx, all, next)
	return nil
}

// end finishes a run that was asked to stop.
func (d *Service) end() error {
	d.notify(daemon.SdNotifyStopping)
	var err error
	if d.current().cfg.OnExit == "restore" && !d.opts.DryRun {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if fault := d.contain(inStep, func() { err = d.putBack(ctx) }); fault != nil {
			err = fault
		}
		if err != nil {
			d.log.Error("the operator's weights could not be restored", "error", err)
		}
	}
	if !d.opts.DryRun {
		d.save(d.current())
	}
	if out := d.leftOutFailing(); len(out) > 0 {
		d.log.Warn("servers that failed stay taken out until a daemon runs again, or you let them back", "servers", out)
	}
	d.log.Info("stopped", "on_exit", d.current().cfg.OnExit)
	return err
}

// begin starts what a session needs in the background: the poller, and the eye on NGINX's configuration.
func (d *Service) begin(ctx context.Context, all *sync.WaitGroup, s *Session) {
	ctx, s.cancel = context.WithCancel(ctx)
	if d.opts.Helper != nil {
		d.opts.Helper.Answer(s.status, s.origin)
	}
	s.look()
	all.Go(func() { d.keepRunning(ctx, inPoller, func() { _ = s.poller.Run(ctx) }) })
	if s.prober != nil {
		all.Go(func() { d.keepRunning(ctx, inProbe, func() { s.prober.run(ctx, time.Duration(s.cfg.Interval)) }) })
	}
	if s.hosts != nil {
		all.Go(func() { d.keepRunning(ctx, inPoller, func() { _ = s.hosts.Run(ctx) }) })
	}
	if s.link != nil {
		s.link.SetVersion(d.opts.Version)
		all.Go(func() {
			d.keepRunning(ctx, inFleet, func() {
				if err := s.link.Run(ctx); err != nil {
					d.log.Error("the fleet is not joined", "error", err)
				}
			})
		})
	}
	if b, ok := s.hand.(beginner); ok {
		b.begin(ctx, d, all)
	}
	if s.cfg.Nginx.Config == "" {
		return
	}
	all.Go(func() {
		d.keepRunning(ctx, inWatcher, func() {
			if err := s.root.Watch(ctx, func(e helper.Edit) { d.edited(s, e) }); err != nil && !errors.Is(err, helper.ErrGone) {
				d.log.Error("NGINX's configuration is not watched", "error", err)
			}
		})
	})
}

// edited takes notice of an edit of NGINX's configuration by somebody else.
func (d *Service) edited(s *Session, c helper.Edit) {
	s.look()
	if c.Error != "" {
		d.trouble(troubleNginx, errors.New(c.Error))
		d.own.configUnreadable.Inc()
		d.log.Warn("NGINX's configuration cannot be read: changes are held", "error", c.Error)
		return
	}
	d.trouble(troubleNginx, nil)
	d.own.configEdits.Inc()
	d.log.Info("somebody edited NGINX's configuration: plans are made from the new files",
		"files", c.Files, "upstreams", s.names(), "left_out", s.leftOut())
}
