package gate

import (
	"math"

	"trimtab/tuner/params"
)

// Budget holds the changes that may be made: a resource that refills with time and has a shadow price, which rises as
// it is used up. So the last changes are kept for what is worth them. In an emergency a budget lends as many changes
// again as it holds: they are paid back with time before anything else is changed. When these are gone too, an
// emergency is answered every half Params.HorizonSec at most.
type Budget struct {
	Level     float64 // changes left; below 0: lent
	Most      float64 // changes that it holds
	RefillSec float64 // time in which it regains one
	Unlimited bool    // changes cost nothing: the actuator needs no reload
}

// Advance lets time pass.
func (b *Budget) Advance(seconds float64) {
	if seconds > 0 {
		b.Level = math.Min(b.Most, b.Level+seconds/b.RefillSec)
	}
}

// Price is the predicted relative gain that a change must bring: least with a full budget, by the square of what is
// used up more with less, +Inf without a change left.
func (b *Budget) Price(least float64) float64 {
	switch {
	case b.Unlimited:
		return least
	case !b.Allows(false):
		return math.Inf(1)
	}
	used := b.Most / b.Level
	return least * used * used
}

// Left is how many changes are left.
func (b *Budget) Left() int {
	if b.Unlimited {
		return int(b.Most)
	}
	return int(math.Max(b.Level, 0))
}

// Allows reports whether a change may be made.
func (b *Budget) Allows(urgent bool) bool {
	return b.Unlimited || b.Level >= 1 || urgent && b.Level >= 1-b.Most
}

// Spend takes a change that was made.
func (b *Budget) Spend() { b.Level = math.Max(-b.Most, b.Level-1) }

// price is the gain that a change must bring now: that of the budget, of a least gain that grows with the time without
// news; in an emergency no more than Params.UrgentGain; for a fresh load the least.
func (s *State) price(p *params.Params, b *Budget, q Question) float64 {
	if s.fresh(p, q) && b.Allows(false) {
		return p.MinGain
	}
	price := b.Price(p.MinGain * q.doubted(p))
	if q.Urgent && (b.Allows(true) || s.SinceSec >= p.HorizonSec/2) {
		price = math.Min(price, p.UrgentGain)
	}
	return price
}

func (q Question) doubted(p *params.Params) float64 { return Doubted(p, q.QuietSec) }

// Doubted is how many times the least gain a change must bring, and how many times as long, for what is seen after a
// time without news: the longer it was, the likelier a gain is one of the model only. It is 1 or more.
func Doubted(p *params.Params, quietSec float64) float64 {
	return min(1+quietSec/p.QuietSec, p.QuietMost)
}
