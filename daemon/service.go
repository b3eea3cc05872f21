package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/weights"
)

// saveEvery is how often the state is written when nothing has been changed.
const saveEvery = 30 * time.Second

// Service is the daemon. Its loop runs in one goroutine; what others read is behind mu.
type Service struct {
	log     *slog.Logger
	opts    Options
	store   *Store
	metrics *loopMetrics
	own     *daemonMetrics
	state   State
	saved   time.Time
	unsaved error     // of the last attempt to save
	lastErr string    // kind of the last failure that was logged
	errSaid time.Time // when it was
	lastWhy string
	based   bool // the operator's weights have been compared with those in force

	mu       sync.Mutex
	session  *Session
	paused   bool // SIGUSR1
	held     string
	explain  *tuner.Explanation
	reason   string
	began    time.Time // of the last step
	sampled  time.Time
	problem  string // why the last step failed
	lastMade time.Time
	inForce  weights.Set // as the last sample showed them
	base     weights.Set // the operator's
}

// Options are what a run of the daemon is given beside its configuration.
type Options struct {
	Reread  func() (*Config, error) // reads the configuration again at SIGHUP; nil: it does not change
	Version string                  // of the program, for the log and the metrics
	Observe bool                    // learn, and change nothing
	DryRun  bool                    // write nothing, state included, and do not wait for the observation period
	Planned func(reason, diff string)
	Signals <-chan os.Signal // SIGHUP, SIGUSR1 and SIGUSR2, as trimtab tune documents them; nil: none is heard
	Logger  *slog.Logger     // nil: silence
	// Registry takes the metrics, which are served from there; nil: one of the daemon's own.
	Registry *prometheus.Registry
}

// New returns a daemon for a configuration that is valid. It does no I/O but to read the secrets that the configuration names. A
// configuration that cannot be used is a *ConfigError.
func New(cfg *Config, o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s, err := newSession(cfg, o.Logger)
	if err != nil {
		return nil, &ConfigError{err}
	}
	return &Service{
		log: o.Logger, opts: o, session: s, store: NewStore(cfg.StatePath(), o.Logger),
		metrics: newLoopMetrics(o.Registry), own: newDaemonMetrics(o.Registry, o.Version), began: time.Now(),
	}, nil
}

// restore takes over the state of the run before.
func (d *Service) restore(ctx context.Context) error {
	if d.opts.DryRun {
		if st, err := d.store.Read(); err == nil {
			d.learned(st)
		}
		return nil
	}
	st, aside, err := d.store.Load()
	if err != nil {
		// The weights stand in NGINX's configuration: without a state the daemon only has to learn again.
		d.log.Error("state cannot be read, beginning without it", "error", err)
	}
	if aside != "" {
		d.own.quarantined.Inc()
	}
	d.state = st
	d.learned(st)
	d.explain = st.Explanation
	if d.session.live != nil {
		return nil
	}
	r, err := d.session.applier.Recover(ctx)
	if err != nil {
		if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) {
			d.log.Warn("nothing recovered", "reason", refusal.Reason)
			return nil
		}
		if errors.Is(err, unix.EROFS) { // changes are held until it can be written, and the first one recovers before
			d.log.Error("nothing can be recovered", "error", err)
			return nil
		}
		return fmt.Errorf("recover from a crash: %w", err)
	}
	if r != nil {
		d.log.Warn("recovered from a crash in the middle of a change", "phase", r.Phase, "restored", r.Restored, "reloaded", r.Reloaded)
	}
	return nil
}

// learned takes over what a run before has learned.
func (d *Service) learned(st State) {
	if st.Snapshot == nil || d.session.tuned == nil {
		return
	}
	if err := d.session.tuned.Restore(*st.Snapshot); err != nil {
		d.log.Warn("what was learned before cannot be used, beginning anew", "error", err)
	}
}

// told says who told the daemon to change nothing; empty: nobody did.
func (d *Service) told(s *Session) string {
	d.mu.Lock()
	paused := d.paused
	d.mu.Unlock()
	switch _, err := os.Stat(s.cfg.HoldPath()); {
	case err == nil:
		return "hold file: " + s.cfg.HoldPath() + " exists"
	case !errors.Is(err, fs.ErrNotExist):
		return "hold file: " + err.Error()
	case paused:
		return "signal: SIGUSR1 was sent; SIGUSR2 goes on"
	case d.opts.Observe:
		return "observing: --observe was given"
	}
	return ""
}

// hold says why nothing may be changed now; empty: changes pass.
func (d *Service) hold(ctx context.Context, s *Session) string {
	if told := d.told(s); told != "" {
		return told
	}
	if left := time.Duration(s.cfg.ObserveFirst) - d.state.Observed; left > 0 && !d.opts.DryRun {
		return fmt.Sprintf("observing: first start, %s left", left.Round(time.Second))
	}
	return s.obstacle(ctx, d.opts.DryRun)
}

// Step runs one control step and records it.
func (d *Service) Step(ctx context.Context) (control.Outcome, error) {
	d.mu.Lock()
	s := d.session
	d.began = time.Now()
	d.mu.Unlock()
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	var held string
	var decided time.Time
	options := []control.Option{control.WithHold(func() string {
		decided = time.Now()
		held = d.hold(ctx, s)
		if s.tuned != nil {
			s.tuned.Hold(held)
		}
		return held
	})}
	if d.opts.DryRun {
		options = append(options, control.WithDryRun())
	}
	out, err := control.NewLoop(s, s.policy, s, options...).Step(ctx)
	took := time.Duration(0)
	if !decided.IsZero() {
		took = time.Since(decided)
	}
	s.mu.Lock()
	sample := s.last
	s.mu.Unlock()
	var e *tuner.Explanation
	if s.tuned != nil && sample != nil {
		last := s.tuned.Explain()
		e = &last
	}
	if sample != nil && err == nil {
		d.account(s, sample, out, e)
	}
	d.metrics.Step(sample, held, out, e, took, err)
	d.metrics.Telemetry(s.poller.Health())
	d.own.nginx(s)
	d.note(sample, held, out, e, err)
	if sample != nil && !s.tried && s.live == nil && !d.opts.DryRun {
		d.tryOut(ctx, s)
	}
	if d.opts.DryRun && err == nil && len(out.Decision.Weights) > 0 {
		diff, err := s.plan(out.Decision.Weights)
		if err != nil {
			return out, err
		}
		d.planned(out.Decision.Reason, diff)
	}
	if !d.opts.DryRun && (d.saved.IsZero() || time.Since(d.saved) >= saveEvery || out.Applied) {
		d.save(s)
	}
	return out, err
}

// tryOut says once per configuration, and long before the first change, when nginx -t does not pass as this process runs it: in a sandbox
// that lacks a folder every change would be refused.
func (d *Service) tryOut(ctx context.Context, s *Session) {
	cfg, err := nginx.ReadConfig(s.cfg.Nginx.Config)
	if err == nil {
		// Without a master the test would take the ports from an NGINX that is just starting.
		_, err = s.applier.Master(ctx, cfg)
	}
	if err != nil {
		return
	}
	s.tried = true
	if err := s.applier.Test(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("nginx -t does not pass as this process runs it: every change will be refused", "error", err)
	}
}

// save writes the state; a failure is logged when it begins and when it ends, and costs nothing but what was learned.
func (d *Service) save(s *Session) {
	d.saved = time.Now()
	if s.tuned != nil {
		snapshot, err := s.tuned.Snapshot()
		if err != nil {
			d.log.Warn("what was learned cannot be kept", "error", err)
		} else {
			d.state.Snapshot = &snapshot
		}
	}
	d.mu.Lock()
	st := d.state
	d.mu.Unlock()
	err := d.store.Save(st)
	if err != nil {
		d.own.saveFailures.Inc()
		if d.unsaved == nil {
			d.log.Error("state cannot be written: the daemon goes on, and will have to learn again after a restart", "error", err)
		}
	} else if d.unsaved != nil {
		d.log.Info("state is written again")
	}
	d.unsaved = err
}

// swap makes another session the current one, with what was learned so far. A reload of the configuration renews no budget.
func (d *Service) swap(next *Session) {
	d.mu.Lock()
	last := d.session
	if last.cfg.Actuator == next.cfg.Actuator {
		next.applier.Budget = last.applier.Budget
	}
	switch {
	case last.cfg.Tuner.Learner == next.cfg.Tuner.Learner && reflect.DeepEqual(last.cfg.tunerConfig(), next.cfg.tunerConfig()):
		next.policy, next.tuned = last.policy, last.tuned
	case next.tuned == nil:
	case last.tuned != nil:
		if err := next.tuned.Continue(last.tuned); err != nil {
			d.log.Warn("what was learned cannot be taken over", "error", err)
		}
	case d.state.Snapshot != nil:
		if err := next.tuned.Restore(*d.state.Snapshot); err != nil {
			d.log.Warn("what was learned before cannot be used, beginning anew", "error", err)
		}
	}
	d.session = next
	d.mu.Unlock()
	last.cancel()
	last.close()
}

func (d *Service) current() *Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session
}

func (d *Service) heldNow() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held
}

// pause is the kill switch by signal.
func (d *Service) pause(on bool) {
	d.mu.Lock()
	d.paused = on
	d.mu.Unlock()
	if on {
		d.log.Warn("SIGUSR1: changes are held until SIGUSR2 or a restart")
		return
	}
	d.log.Warn("SIGUSR2: the hold of SIGUSR1 is over")
}
