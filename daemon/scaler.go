package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/pursuit"
	"trimtab/scaling"
)

// scaler carries out capacities.
type scaler interface {
	control.Scaler
	InForce(ctx context.Context) (map[string]int, error)
}

// askedScaler has the root carry them out: it runs the operator's program, which a process that reads the network may
// not.
type askedScaler struct{ root root }

// Scale implements control.Scaler.
func (a askedScaler) Scale(ctx context.Context, capacity map[string]int) error {
	return a.root.Scale(ctx, capacity)
}

// InForce implements scaler.
func (a askedScaler) InForce(ctx context.Context) (map[string]int, error) { return a.root.Units(ctx) }

// newScaler returns who carries out capacities; nil: nobody does. A URL is called by this process, a program run by the
// root.
func newScaler(s *Session, log *slog.Logger) (scaler, error) {
	hook := s.cfg.Scaling
	if limits, _ := s.cfg.scalingLimits(); !s.cfg.pursues() || len(limits) == 0 {
		return nil, nil
	}
	if hook.URL == "" {
		return askedScaler{s.root}, nil
	}
	token := ""
	if hook.TokenFile != "" {
		text, err := s.cfg.file(hookFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the scaling hook: %w", err)
		}
		token, _, _ = strings.Cut(string(text), "\n")
	}
	return s.cfg.scaler(hook.call(strings.TrimSpace(token)), log), nil
}

func (c *Config) scaler(hook scaling.Hook, log *slog.Logger) *scaling.Scaler {
	s := c.Scaling
	limits, _ := c.scalingLimits()
	return &scaling.Scaler{Hook: hook, Limits: limits, Timeout: time.Duration(s.Timeout),
		Confirm: time.Duration(s.Confirm), DryRun: s.DryRun, Logger: log}
}

// learnUnits tells a policy once what the scaling hook says that servers have.
func (s *Session) learnUnits(ctx context.Context) error {
	p, ok := s.policy.(*pursuit.Policy)
	if s.scaler == nil || s.asked || !ok {
		return nil
	}
	units, err := s.scaler.InForce(ctx)
	if err != nil {
		return fmt.Errorf("ask the scaling hook: %w", err)
	}
	p.SetUnits(units)
	s.asked = true
	return nil
}
