package arena

import (
	"context"
	"fmt"

	"trimtab/control"
	"trimtab/deathstarbench"
)

// Loop lets a policy control a world.
type Loop struct {
	World    World
	Policy   control.Policy
	Scenario *deathstarbench.Scenario
	Reloads  int // that the policy's decisions needed so far
	// Levels are where the controls beside weights stand, and Changes how often decisions changed them.
	Levels  control.Levels
	Changes int
}

// Step plays one control interval, lets the policy decide on what was seen, and sets what it decided. The reason is
// the policy's own, "" when it was not asked.
func (l *Loop) Step(ctx context.Context) (iv Interval, reason string, err error) {
	iv, err = l.World.Step(ctx)
	if err != nil || iv.Err != nil || iv.Done {
		return iv, "", err // no telemetry: whatever is in force stays in force
	}
	var d control.Decision
	if err := control.Contain(func() {
		l.Policy.Observe(iv.Sample, l.World.Weights())
		d = l.Policy.Choose()
	}); err != nil {
		return iv, "", fmt.Errorf("the policy after %s: %w", iv.At, err)
	}
	if d.Empty() {
		return iv, d.Reason, nil
	}
	if err := CheckWeights(l.Scenario, d.Weights); err != nil {
		return iv, d.Reason, fmt.Errorf("the policy's decision after %s: %w", iv.At, err)
	}
	if err := l.setLevels(ctx, d.Levels); err != nil {
		return iv, d.Reason, fmt.Errorf("set levels after %s: %w", iv.At, err)
	}
	var receipt control.Receipt
	if len(d.Weights) > 0 {
		if receipt, err = l.World.SetWeights(ctx, d.Weights); err != nil {
			return iv, d.Reason, fmt.Errorf("set weights after %s: %w", iv.At, err)
		}
		if receipt.Changed && receipt.Reloaded {
			l.Reloads++
		}
		receipt.Want = d.Weights
	}
	receipt.Levels = d.Levels
	if err := control.Contain(func() { l.Policy.Committed(receipt) }); err != nil {
		return iv, d.Reason, fmt.Errorf("the policy after %s: %w", iv.At, err)
	}
	return iv, d.Reason, nil
}

// setLevels sets the controls beside weights.
func (l *Loop) setLevels(ctx context.Context, want control.Levels) error {
	if want.Empty() {
		return nil
	}
	world, ok := l.World.(Leveller)
	if !ok {
		return fmt.Errorf("this world has no controls beside weights")
	}
	if err := world.SetLevels(ctx, want); err != nil {
		return err
	}
	l.Levels = l.Levels.With(want)
	l.Changes++
	return nil
}
