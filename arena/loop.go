package arena

import (
	"context"
	"fmt"

	"trimtab/deathstarbench"
	"trimtab/tuner"
)

// Loop lets a policy control a world.
type Loop struct {
	World    World
	Policy   tuner.Policy
	Scenario *deathstarbench.Scenario
	Reloads  int // that the policy's decisions needed so far
}

// Step plays one control interval, lets the policy decide on what was seen, and sets what it decided. The reason is
// the policy's own, "" when it was not asked.
func (l *Loop) Step(ctx context.Context) (iv Interval, reason string, err error) {
	iv, err = l.World.Step(ctx)
	if err != nil || iv.Err != nil || iv.Done {
		return iv, "", err // no telemetry: whatever is in force stays in force
	}
	d := l.Policy.Decide(tuner.Observation{Sample: iv.Sample, Current: l.World.Weights()})
	if len(d.Weights) == 0 {
		return iv, d.Reason, nil
	}
	if err := CheckWeights(l.Scenario, d.Weights); err != nil {
		return iv, d.Reason, fmt.Errorf("the policy's decision after %s: %w", iv.At, err)
	}
	receipt, err := l.World.SetWeights(ctx, d.Weights)
	if err != nil {
		return iv, d.Reason, fmt.Errorf("set weights after %s: %w", iv.At, err)
	}
	if receipt.Changed && receipt.Reloaded {
		l.Reloads++
	}
	return iv, d.Reason, nil
}
