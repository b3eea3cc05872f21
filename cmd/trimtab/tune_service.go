package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"trimtab/nginx"
	"trimtab/tuner"
)

// saveEvery is how often the state is written when nothing has been changed.
const saveEvery = 30 * time.Second

// service is `trimtab tune`. Its loop runs in one goroutine; what others read is behind mu.
type service struct {
	log     *slog.Logger
	observe bool // --observe
	dry     bool // print and write nothing; does not wait for the observation period
	store   *tuner.Store
	metrics *tuner.Metrics
	own     *daemonMetrics
	state   tuner.State
	saved   time.Time
	unsaved error     // of the last attempt to save
	lastErr string    // kind of the last failure that was logged
	errSaid time.Time // when it was
	lastWhy string
	based   bool // the operator's weights have been compared with those in force

	mu       sync.Mutex
	session  *session
	paused   bool // SIGUSR1
	held     string
	explain  *tuner.Explanation
	reason   string
	began    time.Time // of the last step
	sampled  time.Time
	problem  string // why the last step failed
	lastMade time.Time
	inForce  tuner.Weights // as the last sample showed them
	base     tuner.Weights // the operator's
	renders  renders       // of the loop alone
}

func newService(cfg *daemonConfig, log *slog.Logger, reg *prometheus.Registry) (*service, error) {
	s, err := newSession(cfg, log)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	return &service{
		log: log, session: s, store: tuner.NewStore(filepath.Join(cfg.StateDir, "tuner.db"), log),
		metrics: tuner.NewMetrics(reg), own: newDaemonMetrics(reg), began: time.Now(),
	}, nil
}

// lockDaemon makes this the only daemon of the state folder until release is called.
func lockDaemon(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	path := filepath.Join(dir, "daemon.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path) // a lock needs no writing; without the file there is no lock to have
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := make([]byte, 32)
		n, _ := f.ReadAt(pid, 0)
		f.Close()
		return nil, fmt.Errorf("another trimtab tune (process %s) holds %s: stop it, or give this one a state_dir of its own", string(pid[:max(n, 0)]), path)
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "%d", os.Getpid())
	return func() { f.Close() }, nil
}

// restore takes over the state of the run before.
func (d *service) restore(ctx context.Context) error {
	if d.dry {
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
	if d.session.live != nil || d.session.dns != nil {
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
		return withCode(applyCode(err), fmt.Errorf("recover from a crash: %w", err))
	}
	if r != nil {
		d.log.Warn("recovered from a crash in the middle of a change", "phase", r.Phase, "restored", r.Restored, "reloaded", r.Reloaded)
	}
	return nil
}

// learned takes over what a run before has learned.
func (d *service) learned(st tuner.State) {
	if st.Snapshot == nil || d.session.tuned == nil {
		return
	}
	if err := d.session.tuned.Restore(*st.Snapshot); err != nil {
		d.log.Warn("what was learned before cannot be used, beginning anew", "error", err)
	}
}

// told says who told the daemon to change nothing; empty: nobody did.
func (d *service) told(s *session) string {
	d.mu.Lock()
	paused := d.paused
	d.mu.Unlock()
	switch _, err := os.Stat(s.cfg.holdFile()); {
	case err == nil:
		return "hold file: " + s.cfg.holdFile() + " exists"
	case !errors.Is(err, fs.ErrNotExist):
		return "hold file: " + err.Error()
	case paused:
		return "signal: SIGUSR1 was sent; SIGUSR2 goes on"
	case d.observe:
		return "observing: --observe was given"
	}
	return ""
}

// hold says why nothing may be changed now; empty: changes pass.
func (d *service) hold(ctx context.Context, s *session) string {
	if told := d.told(s); told != "" {
		return told
	}
	if left := time.Duration(s.cfg.ObserveFirst) - d.state.Observed; left > 0 && !d.dry {
		return fmt.Sprintf("observing: first start, %s left", left.Round(time.Second))
	}
	return s.obstacle(ctx, d.dry)
}

// Step runs one control step and records it.
func (d *service) Step(ctx context.Context) (tuner.Outcome, error) {
	d.mu.Lock()
	s := d.session
	d.began = time.Now()
	d.mu.Unlock()
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	var held string
	var decided time.Time
	options := []tuner.LoopOption{tuner.WithHold(func() string {
		decided = time.Now()
		held = d.hold(ctx, s)
		return held
	})}
	if d.dry {
		options = append(options, tuner.WithDryRun())
	}
	s.dry = d.dry
	d.reassert(ctx, s)
	out, err := tuner.NewLoop(s, s.policy, s, options...).Step(ctx)
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
	if sample != nil && err == nil && !d.dry {
		changed, failed := s.enforce(ctx, time.Now())
		if failed != nil {
			d.log.Error("orders are not in force", "error", failed)
		}
		if len(changed) > 0 {
			d.log.Info("weights set as ordered", "upstreams", changed)
		}
	}
	if sample != nil && err == nil {
		d.account(s, sample, out, e)
	}
	d.metrics.Step(sample, held, out, e, took, err)
	d.metrics.Telemetry(s.poller.Health())
	d.own.nginx(s)
	d.note(sample, held, out, e, err)
	if sample != nil && !s.tried && s.live == nil && s.dns == nil && !d.dry {
		d.tryOut(ctx, s)
	}
	if !d.dry && (d.saved.IsZero() || time.Since(d.saved) >= saveEvery || out.Applied) {
		d.save(s)
	}
	return out, err
}

// tryOut says once per configuration, and long before the first change, when nginx -t does not pass as this process runs it: in a sandbox
// that lacks a folder every change would be refused.
func (d *service) tryOut(ctx context.Context, s *session) {
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
func (d *service) save(s *session) {
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
func (d *service) swap(next *session) {
	d.mu.Lock()
	last := d.session
	if reflect.DeepEqual(last.cfg.Actuator, next.cfg.Actuator) {
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

func (d *service) current() *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session
}

func (d *service) heldNow() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held
}

// pause is the kill switch by signal.
func (d *service) pause(on bool) {
	d.mu.Lock()
	d.paused = on
	d.mu.Unlock()
	if on {
		d.log.Warn("SIGUSR1: changes are held until SIGUSR2 or a restart")
		return
	}
	d.log.Warn("SIGUSR2: the hold of SIGUSR1 is over")
}
