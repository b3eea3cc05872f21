package tuner

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"trimtab/objective"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
	"trimtab/weights"
)

// Method is how NGINX balances an upstream group; see package plan.
type Method = plan.Method

// The methods that are tuned as such.
const (
	RoundRobin = plan.RoundRobin
	LeastConn  = plan.LeastConn
	LeastTime  = plan.LeastTime
)

// Config parameterises a Tuner. The zero value of a field means its default.
type Config struct {
	// Groups says what is known of single upstream groups, by name; a group that is missing has the defaults.
	Groups map[string]GroupConfig
	// Method is the balancing method of groups that do not say theirs; default round_robin.
	Method Method
	// ErrorTardiness is the tardiness of a failed request, in deadlines; default 10.
	ErrorTardiness float64
	// Headroom is how many times the present load the plan is made for; default 1.15.
	Headroom float64
	// DeadBand is the smallest relative change of a share that is worth new weights; default 0.05.
	DeadBand float64
	// MinGain is the smallest predicted relative gain that is worth new weights; default 0.03.
	MinGain float64
	// Burst is how many changes a full budget holds; default 6. PerMinute is how many it regains in a minute; default 2.
	Burst     int
	PerMinute int
	// Unlimited lifts the budget of changes: for an actuator that changes weights without a reload.
	Unlimited bool
	// Eject allows marking failing servers down; EjectIdle only in groups of a method that goes by the requests that
	// servers hold: a server that fails at once holds none, and is picked whatever its weight.
	Eject, EjectIdle bool
	// Regimes says how load regimes are found.
	Regimes load.RegimeConfig
	// Seed of the regime fit.
	Seed uint64
	// Twin is the part of its usual requests that the twin plays in a forecast or for advice; 0 means all of them.
	Twin float64
	// Params are the tuned numbers; nil: params.Default. Headroom, DeadBand, MinGain, Burst and PerMinute above win over
	// them.
	Params *params.Params
}

// GroupConfig is what is known of one upstream group.
type GroupConfig struct {
	Method   Method
	Deadline time.Duration       // 0: learned
	Priority float64             // at least 1; 0 means 1
	Limits   weights.GroupLimits // of its servers' shares
}

func (c Config) withDefaults() Config {
	p := params.Default()
	if c.Params != nil {
		p = *c.Params
	}
	c.Params = &p
	p.Headroom, p.DeadBand = cmp.Or(c.Headroom, p.Headroom), cmp.Or(c.DeadBand, p.DeadBand)
	p.MinGain, p.BurstChanges = cmp.Or(c.MinGain, p.MinGain), cmp.Or(float64(c.Burst), p.BurstChanges)
	if c.PerMinute != 0 {
		p.RefillSec = 60 / float64(c.PerMinute)
	}
	c.Method = cmp.Or(c.Method, RoundRobin)
	c.ErrorTardiness = cmp.Or(c.ErrorTardiness, objective.DefaultErrorTardiness)
	c.Twin = cmp.Or(c.Twin, 1)
	return c
}

// Validate reports all faults.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Method == "" || valid(c.Method), "method %q: want round_robin, least_conn or least_time", c.Method)
	check(finite(c.ErrorTardiness) && c.ErrorTardiness >= 0, "error_tardiness %v: want 0 (default) or more",
		c.ErrorTardiness)
	check(c.Headroom == 0 || c.Headroom >= 1 && finite(c.Headroom), "headroom %v: want at least 1", c.Headroom)
	check(c.DeadBand >= 0 && c.DeadBand < 1, "dead_band %v: want 0 (default) to below 1", c.DeadBand)
	check(c.MinGain >= 0 && c.MinGain < 1, "min_gain %v: want 0 (default) to below 1", c.MinGain)
	check(c.Burst >= 0 && c.PerMinute >= 0, "budget of %d changes and %d per minute: want no negative numbers",
		c.Burst, c.PerMinute)
	check(c.Twin >= 0 && c.Twin <= 1, "twin %v: want 0 (default) to 1", c.Twin)
	for name, g := range c.Groups {
		check(g.Method == "" || valid(g.Method), "group %s: method %q: want round_robin, least_conn or least_time",
			name, g.Method)
		check(g.Deadline >= 0, "group %s: deadline %v: want 0 (learned) or more", name, g.Deadline)
		if err := g.Limits.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", name, err))
		}
		check(g.Priority == 0 || g.Priority >= 1 && finite(g.Priority), "group %s: priority %v: want at least 1",
			name, g.Priority)
	}
	return errors.Join(errs...)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func valid(m Method) bool { return m == RoundRobin || m.LoadAware() }
