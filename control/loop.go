package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"trimtab/vts"
)

// Loop observes, chooses and applies, once per Step. The caller waits between steps.
type Loop struct {
	source   Source
	policy   Policy
	actuator Actuator
	log      *slog.Logger
	dry      bool
	hold     func() string
	admitter Admitter
	scaler   Scaler
}

// Option injects what a loop may do without.
type Option func(*Loop)

// WithLogger logs changes and internal faults; by default nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(loop *Loop) { loop.log = l } }

// WithDryRun chooses and applies nothing.
func WithDryRun() Option { return func(loop *Loop) { loop.dry = true } }

// WithHold asks before every change whether to hold, and why: a kill switch, too many draining workers, the
// observation period. An empty reason lets changes pass.
func WithHold(reason func() string) Option { return func(loop *Loop) { loop.hold = reason } }

// WithAdmission has an Admitter carry out the blocked shares of decisions. Without one they are not carried out.
// Whatever is refused is let in again as soon as there is no telemetry.
func WithAdmission(a Admitter) Option { return func(loop *Loop) { loop.admitter = a } }

// WithScaling has a Scaler carry out the capacities of decisions. Without one they are not carried out.
func WithScaling(s Scaler) Option { return func(loop *Loop) { loop.scaler = s } }

// NewLoop returns a loop over a source, a policy and an actuator.
func NewLoop(source Source, policy Policy, actuator Actuator, options ...Option) *Loop {
	l := &Loop{source: source, policy: policy, actuator: actuator, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		hold: func() string { return "" }}
	for _, o := range options {
		o(l)
	}
	return l
}

// Outcome is what one Step did.
type Outcome struct {
	Sample   vts.Sample // what was observed; zero without telemetry
	Decision Decision
	Receipt  Receipt
	Applied  bool   // the actuator was asked and succeeded
	Held     string // why a decision was not applied
}

// ErrTelemetry says that no sample could be had: the weights stay as they are.
var ErrTelemetry = errors.New("no telemetry")

// ErrApply says that the actuator refused or failed: it has restored what was in force.
var ErrApply = errors.New("weights not applied")

// ErrInternal says that the policy failed in a way that it never should, a *Panic: the weights stay as they are.
var ErrInternal = errors.New("internal fault")

// Step takes one sample, lets the policy observe it and choose, and applies what it chose. Without a sample it changes
// nothing and returns ErrTelemetry; when the policy panics it changes nothing and returns ErrInternal; when applying
// fails it returns ErrApply, and the next sample shows what is in force.
func (l *Loop) Step(ctx context.Context) (Outcome, error) {
	sample, err := l.source.Sample(ctx)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrTelemetry, err)
		if l.admitter != nil && !l.dry {
			if fault := l.admitter.Release(ctx); fault != nil { // nobody can see any more whether refusing helps
				err = errors.Join(err, fmt.Errorf("end admission control: %w", fault))
			}
		}
		return Outcome{Held: "no telemetry"}, err
	}
	out := Outcome{Sample: sample, Held: l.hold()}
	err = Contain(func() {
		l.policy.Observe(sample, InForce(sample))
		out.Decision = l.policy.Choose()
	})
	switch {
	case err != nil:
		out.Decision, out.Held = Decision{}, "internal fault"
		return out, err
	case out.Decision.Empty():
		out.Held = ""
		return out, nil
	case out.Held != "":
		return out, nil
	case l.dry:
		out.Held = "dry run"
		return out, nil
	}
	began := time.Now()
	levels, failed := l.level(ctx, out.Decision.Levels)
	if len(out.Decision.Weights) > 0 {
		out.Receipt, err = l.actuator.Apply(ctx, out.Decision.Weights)
		if err != nil {
			failed = errors.Join(failed, err)
		} else {
			out.Receipt.Want = out.Decision.Weights
		}
	}
	out.Receipt.Levels = levels
	if len(out.Receipt.Want) == 0 && levels.Empty() {
		if failed == nil {
			out.Held = "no actuator for what was decided"
			return out, nil
		}
		return out, fmt.Errorf("%w: %w", ErrApply, failed)
	}
	out.Applied = true
	l.log.Info("weights applied", "reason", out.Decision.Reason, "changed", out.Receipt.Changed,
		"reloaded", out.Receipt.Reloaded, "took_ms", time.Since(began).Milliseconds())
	if err := Contain(func() { l.policy.Committed(out.Receipt) }); err != nil {
		return out, err
	}
	if failed != nil { // a part of the decision is in force, and committed as such
		return out, fmt.Errorf("%w: %w", ErrApply, failed)
	}
	return out, nil
}

// level sets the controls beside weights and returns what was set. Capacity comes first: what is there may then be let
// in.
func (l *Loop) level(ctx context.Context, want Levels) (set Levels, err error) {
	if len(want.Capacity) > 0 && l.scaler != nil {
		if fault := l.scaler.Scale(ctx, want.Capacity); fault != nil {
			err = errors.Join(err, fmt.Errorf("scale: %w", fault))
		} else {
			set.Capacity = want.Capacity
		}
	}
	if len(want.Blocked) > 0 && l.admitter != nil {
		if fault := l.admitter.Admit(ctx, want.Blocked); fault != nil {
			err = errors.Join(err, fmt.Errorf("admit: %w", fault))
		} else {
			set.Blocked = want.Blocked
		}
	}
	return set, err
}
