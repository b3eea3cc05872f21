package pursuit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner"
)

// Config parameterises a Policy. The zero value of a field means its default.
type Config struct {
	Objective objective.Objective // required
	// Tuner is that of the beliefs: its groups say the balancing methods.
	Tuner tuner.Config
	// Admission are the limits by upstream, of those whose requests may be refused; missing: admission is off there.
	Admission map[string]control.AdmissionLimits
	// Scaling are the limits by server, of those whose capacity may be changed; missing: scaling is off there.
	Scaling map[string]control.ScalingLimits
	// Units are those in force at the start, by server; a server of Scaling that is missing has Max.
	Units map[string]int
	// FixedWeights takes weights out of the controls.
	FixedWeights bool
	// Fixed are upstreams whose weights are no control, with the reason.
	Fixed map[string]string
	// Watch is how long the load is watched before anything is changed; default 60 s.
	Watch time.Duration
	// MinGain is the least part of the reward that a change must bring on the twin, of that of requests without
	// promises where there are some; default 0.01.
	MinGain float64
	// MissPrice is the part of what a service carries that a plan counts as lost where its bound is missed, however
	// little that costs by the objective itself; 0: nothing, usual: UsualMissPrice. The mean of an interval's few
	// requests misses by chance a bound that the load itself holds: what is dearer to miss is kept further away from.
	MissPrice float64
	// Search are the options of the search.
	Search Options
}

// UsualMissPrice is a Config.MissPrice that in the simulator holds bounds in 95 % of the intervals in which optimal
// does, and costs less than 1 % of the reward (docs/lab/objectives.md).
const UsualMissPrice = 0.05

// Validate reports all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Objective == nil {
		errs = append(errs, errors.New("no objective"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Admission)) {
		if err := c.Admission[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("admission of %s: %w", name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Scaling)) {
		l := c.Scaling[name]
		if err := l.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("scaling of %s: %w", name, err))
		}
		if u, ok := c.Units[name]; ok && l.On() && (u < l.Min || u > l.Max) {
			errs = append(errs, fmt.Errorf("scaling of %s: it has %d units, want %d to %d", name, u, l.Min, l.Max))
		}
	}
	if c.Watch < 0 || !(c.MinGain >= 0 && c.MinGain < 1) {
		errs = append(errs, fmt.Errorf("watch %v, min_gain %v: want 0 (default) or more, and below 1", c.Watch,
			c.MinGain))
	}
	if !(c.MissPrice >= 0 && c.MissPrice < 1) {
		errs = append(errs, fmt.Errorf("miss_price %v: want 0 or more, and below 1", c.MissPrice))
	}
	return errors.Join(errs...)
}
