package tuner

import (
	"fmt"
	"strings"
	"time"
)

// Bound is a limit that took effect.
type Bound string

// The bounds of the safety gate, as explanations name them.
const (
	BoundStep       Bound = "step_limit"
	BoundDeadBand   Bound = "dead_band"
	BoundEvidence   Bound = "minimum_evidence"
	BoundBudget     Bound = "budget"
	BoundGain       Bound = "gain"
	BoundPatience   Bound = "patience"
	BoundSettle     Bound = "settling"
	BoundStale      Bound = "stale"
	BoundRegime     Bound = "uncertain_regime"
	BoundEject      Bound = "eject_limit"
	BoundOperator   Bound = "operator"
	BoundRevert     Bound = "revert"
	BoundAllFailing Bound = "all_failing"
	BoundHold       Bound = "hold"
	BoundIdle       Bound = "idle"
	BoundUnknown    Bound = "unknown_server"
	BoundOne        Bound = "one_server"
)

// boundWords says what the bounds mean.
var boundWords = map[Bound]string{
	BoundStep:       "a share would have changed too much at once",
	BoundDeadBand:   "the change is too small to be worth writing",
	BoundEvidence:   "too few requests since the last change",
	BoundBudget:     "no change is left in the budget",
	BoundGain:       "the predicted gain does not pay for a change",
	BoundPatience:   "the load is steady: the gain must be there for several intervals",
	BoundSettle:     "the last change is still settling",
	BoundStale:      "the sample covers no time or is missing",
	BoundRegime:     "the regime is unknown: only the safe prior is allowed",
	BoundEject:      "as many servers are ejected as may be",
	BoundOperator:   "somebody else changed the weights: theirs are the new base",
	BoundRevert:     "two bad intervals after a change: back to the last good weights",
	BoundAllFailing: "every server fails: no weights can help",
	BoundHold:       "told to hold",
	BoundIdle:       "no requests",
	BoundUnknown:    "a server has not answered anything yet",
	BoundOne:        "nothing to choose",
}

// Explanation says what was decided last and why.
type Explanation struct {
	At      time.Time         `json:"at"`
	Reason  string            `json:"reason"`
	Regime  RegimeExplanation `json:"regime"`
	Pools   []PoolExplanation `json:"pools"`
	Budget  int               `json:"changes_left"`
	Changed bool              `json:"changed"`
}

// PoolExplanation is what was decided for one set of groups that share servers.
type PoolExplanation struct {
	Groups          []string            `json:"groups"`
	InForce         string              `json:"in_force"` // the proposal that the weights in force come from
	Chosen          string              `json:"chosen"`   // hold or a proposal
	Reason          string              `json:"reason"`
	Bounds          []Bound             `json:"bounds"`
	Rows            []RowExplanation    `json:"rows"`
	PredictedGain   float64             `json:"predicted_gain"` // relative, of the best candidate
	PredictedReward float64             `json:"predicted_reward"`
	MeasuredReward  float64             `json:"measured_reward"`
	ART             float64             `json:"art_per_request"` // measured, failed requests included
	Basis           Basis               `json:"art_from"`
	Servers         []ServerExplanation `json:"servers"`
}

// RowExplanation is one proposal: what the table knows of it and what is predicted.
type RowExplanation struct {
	Proposal  string  `json:"proposal"`
	Value     float64 `json:"q"`
	Visits    float64 `json:"visits"`
	Predicted float64 `json:"predicted_reward"`
	Score     float64 `json:"score"`
}

// ServerExplanation is what the model believes of one server.
type ServerExplanation struct {
	Server      string  `json:"server"`
	Slots       float64 `json:"slots"`
	Utilisation float64 `json:"utilisation"`
	Saturated   bool    `json:"saturated"`
	Errors      float64 `json:"error_share"`
	Ejected     bool    `json:"ejected"`
	Backlog     float64 `json:"backlog_requests"`
}

// Text is the explanation in plain words.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.At.Format(time.RFC3339), e.Reason)
	switch {
	case e.Regime.Learning:
		fmt.Fprintf(&b, "Load regimes are still being observed: one regime for all load until then.\n")
	case e.Regime.Index < 0:
		fmt.Fprintf(&b, "The load regime is unknown (%s, probability %.2f): only the safe prior is allowed.\n", e.Regime.Label, e.Regime.Probability)
	default:
		fmt.Fprintf(&b, "Load regime %d (%s) with probability %.2f.\n", e.Regime.Index, e.Regime.Label, e.Regime.Probability)
	}
	for _, p := range e.Pools {
		fmt.Fprintf(&b, "\nGroups %s: %s\n", strings.Join(p.Groups, ", "), p.Reason)
		fmt.Fprintf(&b, "  in force: %s, chosen: %s; measured reward %.4f, predicted %.4f; ART %.4f per request from %s\n",
			p.InForce, p.Chosen, p.MeasuredReward, p.PredictedReward, p.ART, p.Basis)
		for _, bound := range p.Bounds {
			fmt.Fprintf(&b, "  limit that took effect: %s (%s)\n", bound, boundWords[bound])
		}
		for _, r := range p.Rows {
			fmt.Fprintf(&b, "  %-15s Q %9.4f after %4.0f intervals, predicted %9.4f, score %9.4f\n", r.Proposal, r.Value, r.Visits, r.Predicted, r.Score)
		}
		for _, s := range p.Servers {
			slots := "slots"
			if s.Slots < 1.5 {
				slots = "slot"
			}
			fmt.Fprintf(&b, "  %s: about %.0f %s, %.0f %% used", s.Server, s.Slots, slots, 100*s.Utilisation)
			if s.Saturated {
				fmt.Fprintf(&b, ", saturated with %.0f requests waiting", s.Backlog)
			}
			if s.Errors > 0.005 {
				fmt.Fprintf(&b, ", %.1f %% errors", 100*s.Errors)
			}
			if s.Ejected {
				fmt.Fprintf(&b, ", ejected")
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}
