package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
)

// Levels are where the controls beside weights stand, or what is wanted of them: only what is named changes.
type Levels struct {
	// Blocked is the share of the requests of an upstream that is refused before a server is chosen, 0…1.
	Blocked map[string]float64 `json:"blocked,omitempty"`
	// Capacity are the units of a server: slots, cores or replicas, as its operator counts them.
	Capacity map[string]int `json:"capacity,omitempty"`
}

// Empty reports whether nothing is named.
func (l Levels) Empty() bool { return len(l.Blocked) == 0 && len(l.Capacity) == 0 }

// Clone returns a copy.
func (l Levels) Clone() Levels {
	return Levels{Blocked: maps.Clone(l.Blocked), Capacity: maps.Clone(l.Capacity)}
}

// With returns the levels with those of change in their place.
func (l Levels) With(change Levels) Levels {
	out := Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}
	maps.Copy(out.Blocked, l.Blocked)
	maps.Copy(out.Blocked, change.Blocked)
	maps.Copy(out.Capacity, l.Capacity)
	maps.Copy(out.Capacity, change.Capacity)
	return out
}

// Admitter refuses a share of the requests of upstreams. The real ones are Lua code in NGINX's access phase and the
// digits of a limit_req_zone; the other is the simulator.
type Admitter interface {
	// Admit sets the shares of the upstreams named, and leaves others alone.
	Admit(ctx context.Context, blocked map[string]float64) error
	// Release lets everybody in again.
	Release(ctx context.Context) error
}

// Scaler changes the capacity of servers. The real one calls a program or an HTTP hook of the operator's; others are
// the testbed's and the simulator's.
type Scaler interface {
	// Scale sets the units of the servers named. It returns when the change is made, or an error that says why it is
	// not.
	Scale(ctx context.Context, capacity map[string]int) error
}

// Unused says why a control that could have helped is not used.
type Unused struct {
	Control string `json:"control"` // weights, admission or scaling
	Of      string `json:"of"`      // upstream or server
	Reason  string `json:"reason"`
}

// The names of the controls.
const (
	ControlWeights   = "weights"
	ControlAdmission = "admission"
	ControlScaling   = "scaling"
)

// AdmissionLimits are what admission of an upstream may do. The zero value allows nothing.
type AdmissionLimits struct {
	Most   float64       // largest share that may be refused, 0…1; 0: none, the control is off
	Step   float64       // of the share; 0 means DefaultAdmissionStep
	Settle time.Duration // until a change shows in the statistics; 0: at once
}

// DefaultAdmissionStep is the step of a blocking share: finer ones differ by less than the chance of an interval.
const DefaultAdmissionStep = 0.05

// Validate reports what is wrong.
func (l AdmissionLimits) Validate() error {
	if !(l.Most >= 0 && l.Most <= 1) {
		return fmt.Errorf("largest blocked share %v: want 0 (off) to 1", l.Most)
	}
	if !(l.Step >= 0 && l.Step <= 1) {
		return fmt.Errorf("step %v of the blocked share: want 0 (default) to 1", l.Step)
	}
	if l.Settle < 0 {
		return fmt.Errorf("settling time %v: want 0 or more", l.Settle)
	}
	return nil
}

// Clamp is the nearest share that is allowed, on a step.
func (l AdmissionLimits) Clamp(share float64) float64 {
	step := l.StepSize()
	return math.Min(l.Most, math.Max(0, math.Round(share/step)*step))
}

// StepSize is the step, or its default.
func (l AdmissionLimits) StepSize() float64 {
	if l.Step > 0 {
		return l.Step
	}
	return DefaultAdmissionStep
}

// Shares are the shares that are allowed, ascending, 0 first.
func (l AdmissionLimits) Shares() []float64 {
	out := []float64{0}
	for s := l.StepSize(); s < l.Most-1e-9; s += l.StepSize() {
		out = append(out, s)
	}
	if l.Most > 0 {
		out = append(out, l.Most)
	}
	return out
}

// ScalingLimits are what scaling of a server may do. The zero value allows nothing.
type ScalingLimits struct {
	Min, Max int           // units; 0 and 0: the control is off
	Step     int           // units; 0 means 1
	CoolDown time.Duration // between two changes of a server; 0: none
	Settle   time.Duration // until a change shows in the statistics; 0: at once
	// SlotsPerUnit are the requests that a unit serves at once; 0 means 1.
	SlotsPerUnit int
}

// On reports whether the capacity may be changed at all.
func (l ScalingLimits) On() bool { return l.Max > 0 }

// Validate reports what is wrong.
func (l ScalingLimits) Validate() error {
	var errs []error
	if l.Max != 0 && (l.Min < 1 || l.Max < l.Min) {
		errs = append(errs, fmt.Errorf("capacity of %d to %d units: want at least 1, and no more at least than at most",
			l.Min, l.Max))
	}
	if l.Step < 0 || l.SlotsPerUnit < 0 {
		errs = append(errs, fmt.Errorf("step %d, slots_per_unit %d: want 0 (which means 1) or more", l.Step,
			l.SlotsPerUnit))
	}
	if l.CoolDown < 0 || l.Settle < 0 {
		errs = append(errs, fmt.Errorf("cool-down %v, settling time %v: want 0 or more", l.CoolDown, l.Settle))
	}
	return errors.Join(errs...)
}

// Units are the numbers of units that are allowed, ascending.
func (l ScalingLimits) Units() []int {
	var out []int
	for n := l.Min; l.On() && n <= l.Max; n += max(l.Step, 1) {
		out = append(out, n)
	}
	return out
}
