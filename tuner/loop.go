package tuner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Loop observes, decides and applies, once per Step. The caller waits between steps.
type Loop struct {
	source   Source
	policy   Policy
	actuator Actuator
	log      *slog.Logger
	dry      bool
	hold     func() string
}

// LoopOption injects what a loop may do without.
type LoopOption func(*Loop)

// WithLogger logs decisions and changes; by default nothing is logged.
func WithLogger(l *slog.Logger) LoopOption { return func(loop *Loop) { loop.log = l } }

// WithDryRun decides and applies nothing.
func WithDryRun() LoopOption { return func(loop *Loop) { loop.dry = true } }

// WithHold asks before every change whether to hold, and why: a kill switch, too many draining workers, the
// observation period. An empty reason lets changes pass.
func WithHold(reason func() string) LoopOption { return func(loop *Loop) { loop.hold = reason } }

// NewLoop returns a loop over a source, a policy and an actuator.
func NewLoop(source Source, policy Policy, actuator Actuator, options ...LoopOption) *Loop {
	l := &Loop{source: source, policy: policy, actuator: actuator, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		hold: func() string { return "" }}
	for _, o := range options {
		o(l)
	}
	return l
}

// Outcome is what one Step did.
type Outcome struct {
	Decision Decision
	Receipt  Receipt
	Applied  bool   // the actuator was asked and succeeded
	Held     string // why a decision was not applied
}

// ErrTelemetry says that no sample could be had: the weights stay as they are.
var ErrTelemetry = errors.New("no telemetry")

// ErrApply says that the actuator refused or failed: it has restored what was in force.
var ErrApply = errors.New("weights not applied")

// holder is a policy that can be told to hold while it goes on learning.
type holder interface{ Hold(reason string) }

// Step takes one sample, lets the policy decide and applies what it decides. Without a sample it changes nothing and
// returns ErrTelemetry; when applying fails it returns ErrApply, and the next sample shows what is in force.
func (l *Loop) Step(ctx context.Context) (Outcome, error) {
	sample, err := l.source.Sample(ctx)
	if err != nil {
		return Outcome{Held: "no telemetry"}, fmt.Errorf("%w: %w", ErrTelemetry, err)
	}
	held := l.hold()
	if h, ok := l.policy.(holder); ok {
		h.Hold(held)
	}
	out := Outcome{Decision: l.policy.Decide(Observation{Sample: sample, Current: InForce(sample)})}
	switch {
	case len(out.Decision.Weights) == 0:
		return out, nil
	case held != "":
		out.Held = held
		return out, nil
	case l.dry:
		out.Held = "dry run"
		return out, nil
	}
	began := time.Now()
	out.Receipt, err = l.actuator.Apply(ctx, out.Decision.Weights)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrApply, err)
	}
	out.Applied = true
	l.log.Info("weights applied", "reason", out.Decision.Reason, "changed", out.Receipt.Changed,
		"reloaded", out.Receipt.Reloaded, "took_ms", time.Since(began).Milliseconds())
	return out, nil
}
