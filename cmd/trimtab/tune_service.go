package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
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
	unsaved error // of the last attempt to save
	lastErr string
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
		if st, err := d.store.Read(); err == nil && st.Snapshot != nil && d.session.tuned != nil {
			return d.session.tuned.Restore(*st.Snapshot)
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
	if st.Snapshot != nil && d.session.tuned != nil {
		if err := d.session.tuned.Restore(*st.Snapshot); err != nil {
			d.log.Warn("what was learned before cannot be used, beginning anew", "error", err)
		}
	}
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
		return withCode(applyCode(err), fmt.Errorf("recover from a crash: %w", err))
	}
	if r != nil {
		d.log.Warn("recovered from a crash in the middle of a change", "phase", r.Phase, "restored", r.Restored, "reloaded", r.Reloaded)
	}
	return nil
}

// hold says why nothing may be changed now; empty: changes pass.
func (d *service) hold(ctx context.Context, s *session) string {
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
	if left := time.Duration(s.cfg.ObserveFirst) - d.state.Observed; left > 0 && !d.dry {
		return fmt.Sprintf("observing: first start, %s left", left.Round(time.Second))
	}
	return s.obstacle(ctx)
}

// Step runs one control step and records it.
func (d *service) Step(ctx context.Context, actuator tuner.Actuator) (tuner.Outcome, error) {
	d.mu.Lock()
	s := d.session
	d.began = time.Now()
	d.mu.Unlock()
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	var held string
	var decided time.Time
	loop := tuner.NewLoop(s, s.policy, actuator, tuner.WithLogger(d.log), tuner.WithHold(func() string {
		decided = time.Now()
		held = d.hold(ctx, s)
		return held
	}))
	out, err := loop.Step(ctx)
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
	if !d.dry && (d.saved.IsZero() || time.Since(d.saved) >= saveEvery || out.Applied) {
		d.save(s)
	}
	return out, err
}

// account keeps the state up to date: how long was observed, whose weights are in force.
func (d *service) account(s *session, sample *vts.Sample, out tuner.Outcome, e *tuner.Explanation) {
	if d.state.Observed < time.Duration(s.cfg.ObserveFirst) {
		d.state.Observed += sample.Interval
	}
	inForce := tuner.InForce(*sample)
	if d.state.Base == nil {
		d.state.Base = tuner.Weights{}
	}
	operator := false
	if e != nil {
		for _, p := range e.Pools {
			for _, b := range p.Bounds {
				operator = operator || b == tuner.BoundOperator
			}
		}
	}
	for name, now := range inForce {
		_, known := d.state.Base[name]
		ours, set := d.state.LastGood[name]
		// At the start, weights that the tuner did not leave behind are the operator's.
		changed := !d.based && !(set && maps.Equal(ours, now))
		if !known || operator || changed {
			d.state.Base[name] = now
			delete(d.state.LastGood, name)
		}
	}
	d.based = true
	if out.Applied {
		if d.state.LastGood == nil {
			d.state.LastGood = tuner.Weights{}
		}
		maps.Copy(d.state.LastGood, out.Decision.Weights.Clone())
	}
}

// note remembers a step for whoever asks, and logs what has changed.
func (d *service) note(sample *vts.Sample, held string, out tuner.Outcome, e *tuner.Explanation, err error) {
	if errors.Is(err, context.Canceled) {
		return // being stopped is no news
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held, d.reason, d.problem = held, out.Decision.Reason, ""
	if sample != nil {
		d.sampled = time.Now()
	}
	if e != nil {
		d.explain, d.state.Explanation = e, e
	}
	if out.Applied {
		d.lastMade = time.Now()
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	d.problem = text
	if text != d.lastErr {
		level, message := slog.LevelWarn, "step not completed"
		if rollback := (*nginx.RollbackError)(nil); errors.As(err, &rollback) {
			level = slog.LevelError
		}
		if text == "" {
			level, message = slog.LevelInfo, "steps are completed again"
		}
		d.log.Log(context.Background(), level, message, "error", text)
		d.lastErr = text
	}
	if kind := firstWords(held); kind != d.lastWhy && !errors.Is(err, tuner.ErrTelemetry) {
		if held != "" {
			d.log.Info("changes are held", "reason", held)
		} else {
			d.log.Info("changes are no longer held")
		}
		d.lastWhy = kind
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

// putBack returns to the operator's weights.
func (d *service) putBack(ctx context.Context) error {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if len(d.state.LastGood) == 0 {
		return nil // nothing of ours is in force
	}
	base := tuner.Weights{}
	for name := range d.state.LastGood {
		if w, ok := d.state.Base[name]; ok {
			base[name] = w
		}
	}
	r, err := s.Apply(ctx, base)
	if err != nil {
		return fmt.Errorf("restore the operator's weights: %w", err)
	}
	d.log.Info("the operator's weights are restored", "changed", r.Changed)
	d.state.LastGood = nil
	return nil
}

// swap makes another session the current one, with what was learned so far.
func (d *service) swap(next *session) {
	d.mu.Lock()
	last := d.session
	d.session = next
	d.mu.Unlock()
	if last.tuned != nil && next.tuned != nil {
		snapshot, err := last.tuned.Snapshot()
		if err == nil {
			err = next.tuned.Restore(snapshot)
		}
		if err != nil {
			d.log.Warn("what was learned cannot be taken over", "error", err)
		}
	}
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
	d.log.Warn("told by a signal", "hold", on)
}
