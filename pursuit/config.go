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
	// Search are the options of the search.
	Search Options
}

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
		if c.Objective != nil && c.Objective.Kind() == objective.KindTardiness && c.Admission[name].Most > 0 {
			errs = append(errs, fmt.Errorf("admission of %s contradicts the objective %s: it counts who is answered, and "+
				"is best served by refusing everybody; %s and %s weigh both", name, objective.KindTardiness,
				objective.KindDelayBound, objective.KindThroughput))
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
	return errors.Join(errs...)
}
