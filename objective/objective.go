package objective

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Objective is what an operator wants of all upstreams together. It is a value: planner, learner, arena and explanation
// ask the same one.
type Objective interface {
	// Kind is its name in configurations, reports and explanations.
	Kind() string
	// Reward is what an outcome is worth, per second; more is better. Rewards of one objective may be compared and
	// added up over intervals of one length, those of different objectives may not.
	Reward(Outcome) float64
	// Terms are what is wanted of single upstreams, by name.
	Terms() map[string]Terms
}

// Requests is an objective in which a promise is worth many requests, so that a part of its reward says little about how many
// requests it is.
type Requests interface {
	// PlainWorth is the reward of an outcome without what promises add.
	PlainWorth(Outcome) float64
}

// Terms are what an operator wants of one upstream.
type Terms struct {
	// Bound is the most that the delay of the slowest path may be; 0: none.
	Bound time.Duration `json:"bound"`
	// Knee is the delay beyond the bound at which a carried request is worth half; 0: the bound itself.
	Knee time.Duration `json:"knee"`
	// Quantile of the delay that the bound is about, above 0 and below 1; 0: the mean.
	Quantile float64 `json:"quantile,omitempty"`
	// Importance is the worth of a carried request beside those of other upstreams; 0 is refused, since what is worth
	// nothing is best served by refusing all of it.
	Importance float64 `json:"importance"`
	// Promised are the requests per second that the upstream is promised; only the objective guarantee asks. 0: none.
	Promised float64 `json:"promised_per_s,omitempty"`
	// Deadline is what tardiness is counted from; only the objective tardiness asks. 0: not counted.
	Deadline time.Duration `json:"deadline,omitempty"`
}

// Spec is an objective as it is written down.
type Spec struct {
	Kind string
	// Steepness is how fast the worth of a carried request falls around the knee, per second of delay; 0 means
	// DefaultSteepness.
	Steepness float64
	// PriceUnit is the price of a unit of capacity, PriceViolation that of a broken bound, both per second; only the
	// objective cost asks. 0 means 1 and 10.
	PriceUnit, PriceViolation float64
	Upstreams                 map[string]Terms
}

// DefaultSteepness is that of the published evaluation of the service-mesh framework that the scenarios follow: 200 per
// second.
const DefaultSteepness = 200.0

// Kinds are the objectives that New knows.
func Kinds() []string {
	return []string{KindTardiness, KindDelayBound, KindThroughput, KindDifferentiation, KindGuarantee, KindCost}
}

// New returns the objective that a specification describes, or everything that is wrong with it.
func New(s Spec) (Objective, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	v := valued{terms: maps.Clone(s.Upstreams), steepness: s.Steepness}
	if v.steepness == 0 {
		v.steepness = DefaultSteepness
	}
	for name, t := range v.terms {
		if t.Knee == 0 {
			t.Knee = t.Bound
			v.terms[name] = t
		}
	}
	switch s.Kind {
	case KindDelayBound:
		return delayBound{v}, nil
	case KindThroughput:
		return throughput{v}, nil
	case KindDifferentiation:
		return differentiation{v}, nil
	case KindGuarantee:
		return guarantee{v}, nil
	case KindCost:
		c := cost{valued: v, unit: s.PriceUnit, violation: s.PriceViolation}
		if c.unit == 0 {
			c.unit = defaultPriceUnit
		}
		if c.violation == 0 {
			c.violation = defaultPriceViolation
		}
		return c, nil
	}
	return tardiness{v}, nil
}

// Validate reports all faults of a specification: what is missing, out of range, or contradicts itself.
func (s Spec) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	finite := func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
	check(slices.Contains(Kinds(), s.Kind), "kind %q: want %s", s.Kind, strings.Join(Kinds(), ", "))
	check(len(s.Upstreams) > 0, "upstreams: want at least one")
	check(finite(s.Steepness), "steepness %v: want 0 (default) or more per second", s.Steepness)
	check(finite(s.PriceUnit) && finite(s.PriceViolation), "price_unit %v, price_violation %v: want 0 "+
		"(default) or more", s.PriceUnit, s.PriceViolation)
	promised := 0
	for _, name := range slices.Sorted(maps.Keys(s.Upstreams)) {
		t := s.Upstreams[name]
		check(t.Bound >= 0, "upstream %s: bound %v: want 0 (none) or more", name, t.Bound)
		check(t.Knee == 0 || t.Bound > 0 && t.Knee >= t.Bound, "upstream %s: knee %v: want at least the bound, %v",
			name, t.Knee, t.Bound)
		check(t.Quantile >= 0 && t.Quantile < 1, "upstream %s: quantile %v: want 0 (the mean) to below 1", name,
			t.Quantile)
		check(t.Importance > 0 && finite(t.Importance), "upstream %s: importance %v: want more than 0: what is worth "+
			"nothing is best served by "+
			"refusing all of it; leave the upstream out of the objective instead", name, t.Importance)
		check(finite(t.Promised), "upstream %s: promised %v: want 0 (nothing) or more requests per second", name,
			t.Promised)
		check(t.Promised == 0 || s.Kind == KindGuarantee, "upstream %s: promised %v contradicts the objective %s: "+
			"only %s promises",
			name, t.Promised, s.Kind, KindGuarantee)
		check(t.Bound > 0 || s.Kind == KindTardiness || s.Kind == KindThroughput || s.Kind == KindDifferentiation ||
			s.Kind == KindGuarantee,
			"upstream %s: the objective %s wants a bound", name, s.Kind)
		check(t.Deadline >= 0, "upstream %s: deadline %v: want 0 (none) or more", name, t.Deadline)
		if t.Promised > 0 {
			promised++
		}
	}
	check(s.Kind != KindGuarantee || promised > 0, "the objective %s wants an upstream that is promised something",
		KindGuarantee)
	check(s.Kind != KindGuarantee || promised < len(s.Upstreams) || len(s.Upstreams) < 2,
		"the objective %s: all %d upstreams are promised something, and nobody is left to give way", KindGuarantee,
		promised)
	return errors.Join(errs...)
}

// valued is what objectives share: terms, and the worth of what is carried beyond a bound.
type valued struct {
	terms     map[string]Terms
	steepness float64 // per second
}

func (v valued) Terms() map[string]Terms { return v.terms }

// worth is what is carried, less what its delay takes off: c within the bound, and beyond it c/(1+exp(k(d−knee))) with
// k the steepness.
func (v valued) worth(s Service, t Terms) float64 {
	if t.Holds(s.DelaySec) {
		return s.CarriedPerSec
	}
	return s.CarriedPerSec / (1 + math.Exp(v.steepness*(s.DelaySec-t.Knee.Seconds())))
}

// Holds reports whether a delay is within the bound; so is every delay where there is none, and that of nothing
// carried.
func (t Terms) Holds(delaySec float64) bool { return t.Bound <= 0 || delaySec <= t.Bound.Seconds() }

// Excess is by what share of the bound a delay is beyond it, 0 within.
func (t Terms) Excess(delaySec float64) float64 {
	if t.Holds(delaySec) {
		return 0
	}
	return delaySec/t.Bound.Seconds() - 1
}

// Held says of each service whether its bound held, in the order of the outcome.
func Held(o Objective, out Outcome) []bool {
	held := make([]bool, len(out.Services))
	for i, s := range out.Services {
		held[i] = o.Terms()[s.Name].Holds(s.DelaySec)
	}
	return held
}
