package tuner

import (
	"errors"
	"fmt"
	"time"

	"trimtab/objective"
)

// Config parameterises a Tuner. The zero value of a field means its default.
type Config struct {
	// Interval is the expected control interval; default 3 s.
	Interval time.Duration
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
	// MinRequests is how many requests of a class an interval needs before it counts, intervals being pooled until
	// then; default 50.
	MinRequests int
	// Burst is how many changes are allowed in BurstWindow after the start; defaults 6 and 2 min.
	Burst       int
	BurstWindow time.Duration
	// PerMinute is how many changes are allowed in any minute after that; default 2.
	PerMinute int
	// Unlimited lifts the budget of changes: for an actuator that changes weights without a reload.
	Unlimited bool
	// Eject allows marking failing servers down.
	Eject bool
	// Explore is how much a proposal that was never tried is favoured, as a share of what waiting costs now; default
	// 0.05.
	Explore float64
	// LearningRate is the least step of the Q update; default 0.1. Gamma is the weight of the next interval's value;
	// default 0: load is not caused by weights, so that this is a contextual bandit.
	LearningRate, Gamma float64
	// Regimes says how load regimes are found.
	Regimes RegimeConfig
	// Seed of the regime fit.
	Seed uint64
}

// GroupConfig is what is known of one upstream group.
type GroupConfig struct {
	Method   Method
	Deadline time.Duration // 0: learned
	Priority float64       // at least 1; 0 means 1
}

func (c Config) withDefaults() Config {
	set := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Interval == 0 {
		c.Interval = 3 * time.Second
	}
	if c.Method == "" {
		c.Method = RoundRobin
	}
	set(&c.ErrorTardiness, DefaultErrorTardiness)
	set(&c.Headroom, 1.15)
	set(&c.DeadBand, 0.05)
	set(&c.MinGain, 0.03)
	set(&c.Explore, 0.05)
	set(&c.LearningRate, 0.1)
	if c.MinRequests == 0 {
		c.MinRequests = 50
	}
	if c.Burst == 0 {
		c.Burst = 6
	}
	if c.BurstWindow == 0 {
		c.BurstWindow = 2 * time.Minute
	}
	if c.PerMinute == 0 {
		c.PerMinute = 2
	}
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
	check(c.Interval >= 0, "interval %v: want 0 (default) or more", c.Interval)
	check(c.Method == "" || c.Method.valid(), "method %q: want round_robin or least_conn", c.Method)
	check(c.ErrorTardiness >= 0, "error_tardiness %v: want 0 (default) or more", c.ErrorTardiness)
	check(c.Headroom == 0 || c.Headroom >= 1, "headroom %v: want at least 1", c.Headroom)
	check(c.DeadBand >= 0 && c.DeadBand < 1, "dead_band %v: want 0 (default) to below 1", c.DeadBand)
	check(c.MinGain >= 0 && c.MinGain < 1, "min_gain %v: want 0 (default) to below 1", c.MinGain)
	check(c.MinRequests >= 0, "min_requests %d: want 0 (default) or more", c.MinRequests)
	check(c.Burst >= 0 && c.PerMinute >= 0 && c.BurstWindow >= 0, "budget %d in %v, then %d per minute: want no negative numbers", c.Burst, c.BurstWindow, c.PerMinute)
	check(c.Explore >= 0, "explore %v: want 0 (default) or more", c.Explore)
	check(c.LearningRate >= 0 && c.LearningRate <= 1, "learning_rate %v: want 0 (default) to 1", c.LearningRate)
	check(c.Gamma >= 0 && c.Gamma < 1, "gamma %v: want 0 to below 1", c.Gamma)
	for name, g := range c.Groups {
		check(g.Method == "" || g.Method.valid(), "group %s: method %q: want round_robin or least_conn", name, g.Method)
		check(g.Deadline >= 0, "group %s: deadline %v: want 0 (learned) or more", name, g.Deadline)
		check(g.Priority == 0 || g.Priority >= 1, "group %s: priority %v: want at least 1", name, g.Priority)
	}
	return errors.Join(errs...)
}

func (m Method) valid() bool { return m == RoundRobin || m == LeastConn }

// Targets are the deadlines and priorities of the groups that are configured.
func (c Config) Targets() map[string]objective.Target {
	out := make(map[string]objective.Target, len(c.Groups))
	for name, g := range c.Groups {
		out[name] = objective.Target{Deadline: g.Deadline, Priority: g.Priority}
	}
	return out
}
