package daemon

import (
	"context"
	"encoding/json"
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
	"trimtab/vts"
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

	faults   faultLog
	recovery recovery

	mu            sync.Mutex
	session       *Session
	paused        bool // SIGUSR1
	held          string
	explained     json.RawMessage    // by the run before
	explainedLast *tuner.Explanation // by this run
	reason        string
	began         time.Time // of the last step
	sampled       time.Time
	problem       string // why the last step failed
	lastMade      time.Time
	inForce       weights.Set // as the last sample showed them
	base          weights.Set // the operator's
}

// Options are what a run of the daemon is given beside its configuration.
type Options struct {
	Reread  func() (*Config, error) // reads the configuration again at SIGHUP; nil: it does not change
	Version string                  // of the program, for the log and the metrics
	Observe bool                    // learn, and change nothing
	DryRun  bool                    // write nothing, state included, and do not wait for the observation period
	// Planned is told at every step of a dry run what would be written, as a unified diff, and of a run of one step also when it is
	// nothing, "".
	Planned func(reason, diff string)
	// NewPolicy makes the learner of a configuration, at the start, at a change of the configuration and after an internal
	// fault; nil: NewPolicy of this package.
	NewPolicy func(*Config) (control.Policy, error)
	Signals   <-chan os.Signal // SIGHUP, SIGUSR1 and SIGUSR2, as trimtab tune documents them; nil: none is heard
	Logger    *slog.Logger     // nil: silence
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
	if o.NewPolicy == nil {
		o.NewPolicy = NewPolicy
	}
	s, err := newSession(cfg, o.Logger)
	if err != nil {
		return nil, &ConfigError{err}
	}
	d := &Service{
		log: o.Logger, opts: o, session: s, store: NewStore(cfg.StatePath(), o.Logger),
		metrics: newLoopMetrics(o.Registry), own: newDaemonMetrics(o.Registry, o.Version), began: time.Now(),
	}
	if s.policy, err = d.newPolicy(s); err != nil {
		return nil, &ConfigError{err}
	}
	return d, nil
}

// restore takes over the state of the run before. Without it the daemon only has to learn again: the weights stand in NGINX's
// configuration.
func (d *Service) restore(ctx context.Context) (err error) {
	if d.opts.DryRun {
		if st, err := d.store.Read(); err == nil {
			d.state.Snapshot = st.Snapshot
		}
		d.install(d.session, true)
		d.state.Snapshot = nil
		return nil
	}
	_ = d.contain(inState, func() {
		st, aside, err := d.store.Load()
		if err != nil {
			d.log.Error("state cannot be read, beginning without it", "error", err)
		}
		if aside != "" {
			d.own.quarantined.Inc()
		}
		d.state, d.explained = st, st.Explanation
	})
	d.install(d.session, true)
	if !d.session.live() {
		_ = d.contain(inStep, func() { err = d.recover(ctx, d.session) })
	}
	return err
}

// recover undoes what a crash has left half done in NGINX's configuration.
func (d *Service) recover(ctx context.Context, s *Session) error {
	r, err := s.applier.Recover(ctx)
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

// install gives a session a policy that begins with what was kept, or anew.
func (d *Service) install(s *Session, fromKept bool) {
	p, err := d.newPolicy(s)
	if fromKept && err == nil && d.state.Snapshot != nil {
		var refused error
		fault := d.contain(inPolicy, func() { refused = restoreTo(p, d.state.Snapshot) })
		if fault != nil || refused != nil {
			d.log.Warn("what was learned before cannot be used, beginning anew", "error", errors.Join(fault, refused))
			p, err = d.newPolicy(s) // the other one may have taken over half of it
		}
	}
	if err != nil {
		d.log.Error("no learner can be made: nothing is changed", "error", err)
		p = resting{reason: internalFault + ": no learner can be made"}
	}
	s.policy = p
}

// newPolicy returns a policy that has learned nothing.
func (d *Service) newPolicy(s *Session) (p control.Policy, err error) {
	if fault := d.contain(inPolicy, func() { p, err = d.opts.NewPolicy(s.cfg) }); fault != nil {
		err = fault
	}
	return p, err
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

// Step runs one control step and records it. It does not panic: whatever does is an internal fault, after which the weights are
// what they were, or what was confirmed before.
func (d *Service) Step(ctx context.Context) (out control.Outcome, err error) {
	s := d.beginStep()
	if fault := d.contain(inStep, func() { out, err = d.step(ctx, s) }); fault != nil {
		err = fault
		d.recovery.fault(time.Now())
		held := internalFault + ": the step was broken off"
		_ = d.contain(inMetrics, func() { d.metrics.Step(nil, held, control.Outcome{}, nil, 0, fault) })
		d.note(nil, held, control.Outcome{}, nil, fault)
	}
	return out, err
}

func (d *Service) beginStep() *Session {
	d.mu.Lock()
	s := d.session
	d.began = time.Now()
	d.mu.Unlock()
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	return s
}

func (d *Service) step(ctx context.Context, s *Session) (control.Outcome, error) {
	var held string
	var decided time.Time
	policy, rest := s.policy, d.recovery.resting(time.Now())
	if rest != "" {
		policy = resting{reason: rest}
	}
	options := []control.Option{control.WithHold(func() string {
		decided = time.Now()
		if held = rest; rest == "" {
			held = d.hold(ctx, s)
		}
		_ = d.contain(inPolicy, func() { holdPolicy(policy, held) })
		return held
	})}
	if d.opts.DryRun {
		options = append(options, control.WithDryRun())
	}
	out, err := control.NewLoop(s, policy, s, options...).Step(ctx)
	took := time.Duration(0)
	if !decided.IsZero() {
		took = time.Since(decided)
	}
	if errors.Is(err, control.ErrInternal) {
		held = internalFault + ": the learner failed and begins again"
		d.fault(inPolicy, err)
		d.recovery.fault(time.Now())
		d.install(s, d.recovery.fromKept())
	}
	sample := s.lastSample()
	e := d.explain(policy, sample, err)
	if sample != nil && (err == nil || out.Applied) {
		d.account(s, sample, out, e)
	}
	_ = d.contain(inMetrics, func() {
		d.metrics.Step(sample, held, out, e, took, err)
		d.metrics.Telemetry(s.poller.Health())
		d.own.nginx(s)
	})
	d.note(sample, held, out, e, err)
	if sample != nil && !s.tried && !s.live() && !d.opts.DryRun {
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

// explain asks the policy why it decided what it did; nil: it does not say.
func (d *Service) explain(p control.Policy, sample *vts.Sample, err error) *tuner.Explanation {
	x, ok := p.(explainer)
	if !ok || sample == nil || errors.Is(err, control.ErrInternal) {
		return nil
	}
	var e tuner.Explanation
	if d.contain(inExplanation, func() { e = x.Explain() }) != nil {
		return nil
	}
	return &e
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
	d.keep(s)
	var err error
	if fault := d.contain(inState, func() { err = d.store.Save(d.state) }); fault != nil {
		err = fault
	}
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

// keep puts into the state what has been learned and decided. What cannot be had, or not be written, leaves what was kept.
func (d *Service) keep(s *Session) {
	if text := d.explanation(); text != nil {
		d.state.Explanation = text
	}
	if d.recovery.onProbation(time.Now()) {
		return
	}
	var text json.RawMessage
	var err error
	if fault := d.contain(inState, func() { text, err = snapshotOf(s.policy) }); fault != nil {
		return
	}
	if err != nil {
		d.log.Warn("what was learned cannot be kept", "error", err)
	} else if text != nil {
		d.state.Snapshot = text
	}
}

// explanation is the last one as JSON; nil: there is none, or it cannot be written.
func (d *Service) explanation() json.RawMessage {
	d.mu.Lock()
	last, text := d.explainedLast, d.explained
	d.mu.Unlock()
	if last == nil {
		return text // of the run before
	}
	return d.encoded(inExplanation, last)
}

// swap makes another session the current one; its policy, if it is to have another than the last one, takes over what was learned. A reload of the configuration renews no budget.
func (d *Service) swap(next *Session) {
	last := d.current()
	if last.cfg.Actuator == next.cfg.Actuator {
		next.applier.Budget = last.applier.Budget
	}
	if last.cfg.Tuner.Learner == next.cfg.Tuner.Learner && reflect.DeepEqual(last.cfg.tunerConfig(), next.cfg.tunerConfig()) {
		next.policy = last.policy
	} else {
		d.carryOver(next, last)
	}
	d.mu.Lock()
	d.session = next
	d.mu.Unlock()
	d.recovery = recovery{} // the new configuration may be the cure
	last.cancel()
	last.close()
}

// carryOver gives the next session a policy that goes on where the last one's stands, or else begins with what was kept.
func (d *Service) carryOver(next, last *Session) {
	var err error
	fault := d.contain(inPolicy, func() { err = continueFrom(next.policy, last.policy) })
	if fault == nil && err == nil {
		return
	}
	if !errors.Is(err, errOther) {
		d.log.Warn("what was learned cannot be taken over", "error", errors.Join(fault, err))
	}
	d.install(next, true)
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
