package deathstarbench

import (
	"fmt"
	"time"

	"trimtab/control"
	"trimtab/objective"
)

// Objective is what a scenario wants of all its upstreams together; see package objective.
type Objective struct {
	Kind           string  `toml:"kind"`
	Steepness      float64 `toml:"steepness"`       // per s; 0: the default
	PriceUnit      float64 `toml:"price_unit"`      // cost
	PriceViolation float64 `toml:"price_violation"` // cost
}

// UpstreamObjective is what it wants of one upstream.
type UpstreamObjective struct {
	Bound      Duration `toml:"bound"`
	Knee       Duration `toml:"knee"`
	Quantile   float64  `toml:"quantile"`
	Importance *float64 `toml:"importance"` // missing means 1
	Promised   float64  `toml:"promised"`   // requests per s
	// MaxBlocked is the largest share of the requests that admission may refuse, and BlockStep its step; 0: none, and
	// the default.
	MaxBlocked float64 `toml:"max_blocked"`
	BlockStep  float64 `toml:"block_step"`
}

// CapacityRange are the slots that scaling may give a server.
type CapacityRange struct {
	Min      int      `toml:"min"`
	Max      int      `toml:"max"`
	Step     int      `toml:"step"`      // 0 means 1
	CoolDown Duration `toml:"cool_down"` // between two changes
}

// Limits are what scaling may do.
func (r CapacityRange) Limits() control.ScalingLimits {
	return control.ScalingLimits{Min: r.Min, Max: r.Max, Step: r.Step, CoolDown: r.CoolDown.Std()}
}

// Limits are what admission may do.
func (o UpstreamObjective) Limits() control.AdmissionLimits {
	return control.AdmissionLimits{Most: o.MaxBlocked, Step: o.BlockStep}
}

// Spec is the objective of the scenario, tardiness when it names none.
func (s *Scenario) Spec() objective.Spec {
	kind := s.Objective.Kind
	if kind == "" {
		kind = objective.KindTardiness
	}
	out := objective.Spec{Kind: kind, Steepness: s.Objective.Steepness, PriceUnit: s.Objective.PriceUnit,
		PriceViolation: s.Objective.PriceViolation,
		Upstreams:      map[string]objective.Terms{}}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		t := objective.Terms{Bound: u.Objective.Bound.Std(), Knee: u.Objective.Knee.Std(),
			Quantile: u.Objective.Quantile, Importance: 1,
			Promised: u.Objective.Promised, Deadline: time.Duration(u.Deadline)}
		if u.Objective.Importance != nil {
			t.Importance = *u.Objective.Importance
		}
		out.Upstreams[u.Name] = t
	}
	return out
}

// Blockable are the limits of admission by upstream, of those where it is on.
func (s *Scenario) Blockable() map[string]control.AdmissionLimits {
	out := map[string]control.AdmissionLimits{}
	for i := range s.Upstreams {
		if l := s.Upstreams[i].Objective.Limits(); l.Most > 0 {
			out[s.Upstreams[i].Name] = l
		}
	}
	return out
}

// Scalable are the limits of scaling by server, of those where it is on.
func (s *Scenario) Scalable() map[string]control.ScalingLimits {
	out := map[string]control.ScalingLimits{}
	for i := range s.Servers {
		if l := s.Servers[i].Capacity.Limits(); l.On() {
			out[s.Servers[i].Name] = l
		}
	}
	return out
}

func (s *Scenario) checkObjective(c *checker) {
	for i := range s.Servers {
		v := &s.Servers[i]
		if err := v.Capacity.Limits().Validate(); err != nil {
			c.want(false, fmt.Sprintf("server[%d].capacity", i), "%v", err)
		}
		c.want(v.Capacity.Max == 0 || v.Slots >= v.Capacity.Min && v.Slots <= v.Capacity.Max,
			fmt.Sprintf("server[%d].slots", i),
			"%d: want them within the capacity, %d to %d", v.Slots, v.Capacity.Min, v.Capacity.Max)
	}
	for i := range s.Upstreams {
		if err := s.Upstreams[i].Objective.Limits().Validate(); err != nil {
			c.want(false, fmt.Sprintf("upstream[%d].objective", i), "%v", err)
		}
	}
	if s.Objective == (Objective{}) {
		return
	}
	if err := s.Spec().Validate(); err != nil {
		c.want(false, "objective", "%v", err)
	}
}
