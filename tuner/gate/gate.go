package gate

import (
	"fmt"
	"math"

	"trimtab/tuner/params"
)

// Bound is a limit that took effect.
type Bound string

// The bounds, as explanations name them.
const (
	BoundDeadBand   Bound = "dead_band"
	BoundBudget     Bound = "budget"
	BoundGain       Bound = "gain"
	BoundPatience   Bound = "patience"
	BoundSettle     Bound = "settling"
	BoundStale      Bound = "stale"
	BoundEject      Bound = "eject_limit"
	BoundOperator   Bound = "operator"
	BoundAllFailing Bound = "all_failing"
	BoundIdle       Bound = "idle"
	BoundUnknown    Bound = "unknown_server"
	BoundOne        Bound = "one_server"
	BoundTurn       Bound = "turn"
)

// Words says what the bounds mean.
var words = map[Bound]string{
	BoundDeadBand:   "the change is too small to be worth writing",
	BoundBudget:     "no change is left in the budget",
	BoundGain:       "the predicted gain does not pay for a change",
	BoundPatience:   "the gain has not lasted long enough",
	BoundSettle:     "the last change is still settling",
	BoundStale:      "the sample covers no time or is missing",
	BoundEject:      "no more servers may be ejected, or can be spared",
	BoundOperator:   "somebody else changed the weights: theirs are the new base",
	BoundAllFailing: "every server fails: no weights can help",
	BoundIdle:       "no requests",
	BoundUnknown:    "a server has not answered anything yet",
	BoundOne:        "nothing to choose",
	BoundTurn:       "other groups have their turn to be planned",
}

// Words says in plain words what the bound means.
func (b Bound) Words() string { return words[b] }

// State is what the gate remembers of one pool.
type State struct {
	LastedSec float64 `json:"lasted_s"` // how long a change has paid
	SinceSec  float64 `json:"since_s"`  // since the last change
	Changes   int     `json:"changes"`
	IdleSec   float64 `json:"idle_s"` // by which requests were missing rather than there, at most Persistence
}

// Question is a change that is judged.
type Question struct {
	GainShare float64 // predicted relative gain
	Urgent    bool    // a server is saturated or fails: what it costs to wait is more than any change
	Differs   bool    // the change is worth writing
	Fresh     bool    // the load has just become one that is known to last, or soon will: there is nothing to wait for
	QuietSec  float64 // time in which load, servers and weights stayed as they were
}

// Verdict is what became of a question.
type Verdict struct {
	Pass   bool
	Price  float64 // gain that was needed
	Reason string  // why not
	Bound  Bound
}

// Observe lets an interval pass in which the question was what it is.
func (s *State) Observe(p *params.Params, b *Budget, seconds float64, q Question) {
	s.SinceSec += seconds
	s.IdleSec = math.Max(0, s.IdleSec-seconds)
	if q.Differs && q.GainShare >= s.price(p, b, q) {
		s.LastedSec += seconds
	} else {
		s.LastedSec = 0
	}
}

// Wait lets an interval pass in which nothing was asked. What has paid is taken to go on, until it is asked again.
func (s *State) Wait(seconds float64) {
	s.SinceSec += seconds
	if s.LastedSec > 0 {
		s.LastedSec += seconds
	}
}

// Idle lets an interval pass without requests: a gain that nobody would have had has not lasted.
func (s *State) Idle(p *params.Params, seconds float64) {
	s.SinceSec += seconds
	s.LastedSec = 0
	s.IdleSec = math.Min(s.IdleSec+seconds, p.Persistence)
}

// Judge says whether the change may be made. It changes nothing.
func (s *State) Judge(p *params.Params, b *Budget, q Question) Verdict {
	v := Verdict{Price: s.price(p, b, q)}
	hold := func(bound Bound, format string, args ...any) Verdict {
		v.Bound, v.Reason = bound, fmt.Sprintf(format, args...)
		return v
	}
	percent := 100 * q.GainShare
	switch {
	case !q.Differs:
		return hold(BoundDeadBand, "the weights in force are as good as any")
	case s.IdleSec > 0:
		return hold(BoundIdle, "%.0f %% better expected, but most of the time there are no requests", percent)
	case math.IsInf(v.Price, 1):
		return hold(BoundBudget, "%.0f %% better expected, but no change is left", percent)
	case q.GainShare < v.Price:
		return hold(BoundGain, "%.1f %% better expected, %.1f %% needed while %d changes are left", percent,
			100*v.Price, b.Left())
	case s.Changes > 0 && s.SinceSec < p.SettleSec:
		return hold(BoundSettle, "%.0f %% better expected, but the last change is still settling", percent)
	case s.LastedSec < patience(p, q) && !s.fresh(p, q):
		return hold(BoundPatience, "%.0f %% better expected, for %.0f s of the %.0f s that it has to last", percent,
			s.LastedSec, patience(p, q))
	}
	v.Pass = true
	return v
}

// patience is how long in seconds a gain must last. An emergency is not waited for.
func patience(p *params.Params, q Question) float64 {
	if q.Urgent {
		return 0
	}
	return p.Persistence * q.doubted(p)
}

// Committed tells that a change was made.
func (s *State) Committed() { *s = State{Changes: s.Changes + 1} }

// fresh reports whether a new load is a reason not to wait: one change answers it, those after are judged as any.
func (s *State) fresh(p *params.Params, q Question) bool {
	return q.Fresh && (s.Changes == 0 || s.SinceSec >= p.HorizonSec/2)
}
