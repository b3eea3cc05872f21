package tuner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"trimtab/control"
)

// ObjectiveExplanation says how an objective other than tardiness is pursued.
type ObjectiveExplanation struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	// Reward of the last interval, and what is expected of the setting in force and of the best that is known, per s.
	Reward   float64 `json:"reward"`
	InForce  float64 `json:"expected_in_force"`
	Best     float64 `json:"expected_best"`
	Capacity float64 `json:"capacity_units,omitempty"`
	// Services by upstream.
	Services map[string]ServiceExplanation `json:"services"`
	Levels   control.Levels                `json:"levels"` // in force, beside weights
	Unused   []control.Unused              `json:"unused,omitempty"`
	Looked   int                           `json:"settings_looked_at"`
	Played   int                           `json:"settings_played"`
}

// ServiceExplanation is the part of one upstream: measured in the last interval, and expected of the best setting.
type ServiceExplanation struct {
	BoundMS         float64 `json:"bound_ms"`
	OfferedPerSec   float64 `json:"offered_per_s"`
	CarriedPerSec   float64 `json:"carried_per_s"`
	DelayMS         float64 `json:"delay_ms"`
	Held            bool    `json:"held"`
	ExpectedPerSec  float64 `json:"expected_carried_per_s"`
	ExpectedDelayMS float64 `json:"expected_delay_ms"`
	ExpectedHeld    float64 `json:"expected_held_share"`
	// LeastDelayMS is the least delay that any setting gives; above the bound it cannot be met.
	LeastDelayMS float64 `json:"least_delay_ms"`
}

// Words is the explanation in plain words, line by line; nil has none.
func (o *ObjectiveExplanation) Words() string {
	var b strings.Builder
	o.text(&b)
	return b.String()
}

// text writes the explanation in plain words; nil writes nothing.
func (o *ObjectiveExplanation) text(b *strings.Builder) {
	if o == nil {
		return
	}
	fmt.Fprintf(b, "\nObjective %s: %s\n", o.Kind, o.Reason)
	fmt.Fprintf(b, "  reward %.3f per s measured; %.3f expected in force, %.3f at best of %d settings\n", o.Reward,
		o.InForce, o.Best, o.Looked)
	for _, name := range slices.Sorted(maps.Keys(o.Services)) {
		s := o.Services[name]
		held := "held"
		if !s.Held {
			held = "not held"
		}
		fmt.Fprintf(b, "  %s: %.1f of %.1f per s carried, %.1f ms of %.1f ms (%s)", name, s.CarriedPerSec,
			s.OfferedPerSec, s.DelayMS, s.BoundMS, held)
		if share := o.Levels.Blocked[name]; share > 0 {
			fmt.Fprintf(b, ", %.0f %% refused", 100*share)
		}
		fmt.Fprintln(b)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Levels.Capacity)) {
		fmt.Fprintf(b, "  %s: %d units\n", name, o.Levels.Capacity[name])
	}
	for _, u := range o.Unused {
		fmt.Fprintf(b, "  %s of %s is not used: %s\n", u.Control, u.Of, u.Reason)
	}
}
