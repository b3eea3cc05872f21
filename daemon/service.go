package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/page"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// saveEvery is how often the state is written when nothing has been changed.
const saveEvery = 30 * time.Second

// Service is the daemon. Its loop runs in one goroutine; what others read is behind mu.
type Service struct {
	log      *slog.Logger
	opts     Options
	store    *Store
	metrics  *loopMetrics
	own      *daemonMetrics
	troubles *troubles
	state    State
	saved    time.Time
	unsaved  error     // of the last attempt to save
	lastErr  string    // kind of the last failure that was logged
	errSaid  time.Time // when it was
	lastWhy  string
	based    bool // the operator's weights have been compared with those in force

	faults   faultLog
	recovery recovery
	renders  renders // of the loop alone
	witness  witness
	proof    proof // of the loop alone
	page     *page.Recorder
	edits    int // of the operator that were taken over

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
	proved        proved
	node          *fleetPolicy // of the last step; nil: the node is alone
}

// Options are what a run of the daemon is given beside its configuration.
type Options struct {
	Reread  func() (*Config, error) // reads the configuration again at SIGHUP; nil: it does not change
	Version string                  // of the program, for the log and the metrics
	Observe bool                    // learn, and change nothing
	DryRun  bool                    // write nothing, state included, and do not wait for the observation period
	// Planned is told at every step of a dry run what would be written, as a unified diff, and of a run of one step
	// also when it is nothing, "".
	Planned func(reason, diff string)
	// NewPolicy makes the learner of a configuration, at the start, at a change of the configuration and after an
	// internal fault; nil: NewPolicy of this package.
	NewPolicy func(*Config) (control.Policy, error)
	Signals   <-chan os.Signal // SIGHUP, SIGUSR1 and SIGUSR2, as trimtab tune documents them; nil: none is heard
	Logger    *slog.Logger     // nil: silence
	// Helper does what needs root; nil: this process does.
	Helper *helper.Client
	// Clock is the clock on the wall for changes of NGINX's configuration; nil: time.Now.
	Clock func() time.Time
	// Registry takes the metrics, which are served from there; nil: one of the daemon's own.
	Registry *prometheus.Registry
}

// New returns a daemon for a configuration that is valid. It does no I/O but to read the secrets that the configuration
// names. A configuration that cannot be used is a *ConfigError.
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
	s, err := newSession(cfg, o.Logger, o.Helper)
	if err != nil {
		return nil, &ConfigError{err}
	}
	d := &Service{
		log: o.Logger, opts: o, session: s, store: NewStore(cfg.StatePath(), o.Logger),
		metrics: newLoopMetrics(o.Registry), own: newDaemonMetrics(o.Registry,
			o.Version), troubles: newTroubles(o.Registry),
		began: time.Now(), page: newPage(cfg, o.Version),
	}
	d.witness.contain = func(f func()) { _ = d.contain(inState, f) }
	if s.policy, err = d.newPolicy(s); err != nil {
		return nil, &ConfigError{err}
	}
	if s.own != nil {
		s.own.Applier.Clock = o.Clock
	}
	o.Registry.MustRegister(newFleetMetrics(d.fleetNode))
	d.warn(cfg)
	return d, nil
}

// warn logs what a configuration sets in vain.
func (d *Service) warn(cfg *Config) {
	for _, w := range cfg.Warnings() {
		d.log.Warn(w)
	}
}

// told says who told the daemon to change nothing; empty: nobody did.
func (d *Service) told(standing helper.Standing) string {
	d.mu.Lock()
	paused := d.paused
	d.mu.Unlock()
	switch {
	case standing.Hold != "":
		return standing.Hold
	case paused:
		return "signal: SIGUSR1 was sent; SIGUSR2 goes on"
	case d.opts.Observe:
		return "observing: --observe was given"
	}
	return ""
}

// hold says why nothing may be changed now; empty: changes pass.
func (d *Service) hold(ctx context.Context, s *Session) string {
	standing, err := s.root.Standing(ctx, d.opts.DryRun)
	if err != nil {
		return "helper: " + err.Error()
	}
	obstacle := s.obstacle(standing) // asked for in any case: it notes what NGINX's processes weigh
	if told := d.told(standing); told != "" {
		return told
	}
	if left := time.Duration(s.cfg.ObserveFirst) - d.state.Observed; left > 0 && !d.opts.DryRun {
		return fmt.Sprintf("observing: first start, %s left", left.Round(time.Second))
	}
	if why := d.proof.holds(); why != "" {
		return why
	}
	return obstacle
}

// Step runs one control step and records it. It does not panic: whatever does is an internal fault, after which the
// weights are what they were, or what was confirmed before.
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
	d.node, _ = s.policy.(*fleetPolicy)
	d.mu.Unlock()
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	return s
}

func (d *Service) step(ctx context.Context, s *Session) (control.Outcome, error) {
	d.followMethods(s)
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
		return held
	})}
	if d.opts.DryRun {
		options = append(options, control.WithDryRun())
	}
	options = append(options, s.controls()...)
	s.dry = d.opts.DryRun
	if err := s.learnUnits(ctx); err != nil {
		d.log.Warn("what servers have is not known", "error", err)
	}
	d.reassert(ctx, s)
	seen := policy
	if rest == "" {
		d.witness.watch(policy)
		seen = witnessed{policy, &d.witness}
	}
	_ = d.contain(inProbe, func() { s.prober.tell(policy) })
	out, err := control.NewLoop(s, seen, s, options...).Step(ctx)
	took := time.Duration(0)
	if !decided.IsZero() {
		took = time.Since(decided)
	}
	if x, ok := policy.(*pursuit.Policy); ok && errors.Is(err, control.ErrTelemetry) {
		x.Released()
	}
	if errors.Is(err, control.ErrInternal) {
		held = internalFault + ": the learner failed and begins again"
		d.fault(inPolicy, err)
		d.recovery.fault(time.Now())
		d.install(s, d.recovery.fromKept())
	}
	sample := s.lastSample()
	s.prober.saw(sample)
	e := d.explain(policy, sample, err)
	if sample != nil && err == nil && !d.opts.DryRun {
		d.obey(ctx, s)
	}
	if sample != nil && (err == nil || out.Applied) {
		d.account(s, sample, out, e)
	}
	if sample != nil && err == nil && !d.opts.DryRun {
		_ = d.contain(inProof, func() { d.prove(ctx, s, sample, policy, e) })
	}
	_ = d.contain(inMetrics, func() {
		d.metrics.Step(sample, held, out, e, took, err)
		d.metrics.Telemetry(s.poller.Health())
		if sample != nil {
			d.mu.Lock()
			base := d.base
			d.mu.Unlock()
			d.metrics.operator(sample, base)
		}
		d.own.proof(d.proof.file)
		d.own.nginx(s)
	})
	d.note(sample, held, out, e, err)
	_ = d.contain(inPage, func() { d.show(s, sample, held, out, e, err) })
	if sample != nil && !s.tried && s.reloads() && !d.opts.DryRun {
		d.tryOut(ctx, s)
	}
	if d.opts.DryRun && err == nil && len(out.Decision.Weights) > 0 {
		diff, err := s.hand.plan(out.Decision.Weights)
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

// tryOut says once per configuration, and long before the first change, when nginx -t does not pass as this process
// runs it: in a sandbox that lacks a folder every change would be refused.
func (d *Service) tryOut(ctx context.Context, s *Session) {
	tried, err := s.root.Test(ctx)
	s.tried = tried
	if tried && err != nil && ctx.Err() == nil {
		d.log.Warn("nginx -t does not pass as this process runs it: every change will be refused", "error", err)
	}
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
