package tuner

import (
	"fmt"
	"math"
	"strings"
	"time"

	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
)

// Bound is a limit that took effect.
type Bound = gate.Bound

// BoundOperator says that somebody else changed the weights.
const BoundOperator = gate.BoundOperator

// Explanation says what was decided last and why.
type Explanation struct {
	At      time.Time         `json:"at"`
	Reason  string            `json:"reason"`
	Regime  load.Regime       `json:"regime"`
	Next    []Coming          `json:"next,omitempty"` // regimes expected soon, see params.ForecastSec
	Pools   []PoolExplanation `json:"pools"`
	Budget  int               `json:"changes_left"`
	Changed bool              `json:"changed"` // a change is wanted
	// Objective is what is pursued in place of tardiness; nil: nothing is.
	Objective *ObjectiveExplanation `json:"objective,omitempty"`
}

// PoolExplanation is what was decided for one set of groups that share servers.
type PoolExplanation struct {
	Groups          []string            `json:"groups"`
	Chosen          string              `json:"chosen"` // hold or change
	Reason          string              `json:"reason"`
	Bounds          []Bound             `json:"bounds"`
	PredictedGain   float64             `json:"predicted_gain"` // relative, of the best change
	Price           float64             `json:"needed_gain"`    // relative; −1: none is left
	PredictedReward float64             `json:"predicted_reward"`
	MeasuredReward  float64             `json:"measured_reward"`
	ART             float64             `json:"art_per_request"` // measured, failed requests included
	Basis           objective.Basis     `json:"art_from"`
	Servers         []ServerExplanation `json:"servers"`
	// Forecast is what the twin says of the change, or of the last one; nil: none was made yet.
	Forecast      *ForecastExplanation `json:"forecast,omitempty"`
	ForecastScore *ForecastScore       `json:"forecast_score,omitempty"`
	Demand        []plan.Demand        `json:"demand,omitempty"` // the loads that were planned for
	// Advice is what another balancing method would bring; nil: little, or it is not known.
	Advice     *Advice     `json:"advice,omitempty"`
	Experience *Experience `json:"experience,omitempty"` // in the present regime; nil: none that is known
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
	// By upstream group: what it serves at most, how long it takes for a request, and how sure that is.
	CapacityPerSec map[string]float64 `json:"capacity_per_s"`
	ServiceSec     map[string]float64 `json:"service_s"`
	ServiceSD      map[string]float64 `json:"log_service_sd"`
}

// noneLeft is the needed gain when no change is left.
const noneLeft = -1

func (e *PoolExplanation) hold(bound Bound, reason string) {
	e.Chosen, e.Reason = "hold", "hold: "+reason
	e.Bounds = append(e.Bounds, bound)
}

func (e *PoolExplanation) change(reason string) { e.Chosen, e.Reason = "change", reason }

// measure states what the interval cost.
func (e *PoolExplanation) measure(p *pool, errorTardiness float64) {
	art, requests := 0.0, 0.0
	e.Basis = objective.FromNothing
	for _, g := range p.groups {
		art += g.measured.Tardiness + g.measured.Errors*errorTardiness
		requests += g.measured.Requests
		if g.measured.Basis != objective.FromNothing {
			e.Basis = g.measured.Basis
		}
	}
	if requests > 0 {
		e.ART = art / requests
		e.MeasuredReward = -e.ART
	}
}

// servers states what is believed of the servers.
func (e *PoolExplanation) servers(par *params.Params, p *pool, beliefs []estimate.Belief) {
	if len(beliefs) != len(p.servers) { // it was never planned
		return
	}
	for j, sv := range p.servers {
		b := &beliefs[j]
		s := ServerExplanation{Server: sv.address, Slots: b.MeanSlots(), CapacityPerSec: map[string]float64{},
			ServiceSec: map[string]float64{},
			ServiceSD:  map[string]float64{}}
		for k, g := range sv.groups {
			s.Errors = math.Max(s.Errors, b.Fail[k])
			if len(b.Slots) > 0 {
				s.CapacityPerSec[g.name], s.ServiceSec[g.name], s.ServiceSD[g.name] = b.Capacity(k), b.Service(k), b.SD[k]
			}
			for i := range g.links {
				s.Ejected = s.Ejected || g.links[i].server == sv && g.links[i].eject.Active
			}
		}
		if len(b.Slots) > 0 {
			s.Utilisation = sv.known.Utilisation()
			s.Backlog = b.Queue()
			s.Saturated = s.Backlog > 0
		}
		e.Servers = append(e.Servers, s)
	}
}

// Text is the explanation in plain words.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", e.At.Format(time.RFC3339), e.Reason)
	switch {
	case e.Regime.Learning:
		fmt.Fprintf(&b, "Load regimes are still being observed: one regime for all load until then.\n")
	case e.Regime.Index < 0:
		fmt.Fprintf(&b, "The load regime is unknown (%s, probability %.2f).\n", e.Regime.Label, e.Regime.Probability)
	default:
		fmt.Fprintf(&b, "Load regime %d (%s) with probability %.2f.\n", e.Regime.Index, e.Regime.Label,
			e.Regime.Probability)
	}
	for _, n := range e.Next {
		fmt.Fprintf(&b, "Expected within %.0f s with probability %.2f: %s.\n", n.WithinSec, n.Probability, n.words())
	}
	e.Objective.text(&b)
	for _, p := range e.Pools {
		fmt.Fprintf(&b, "\nGroups %s: %s\n", strings.Join(p.Groups, ", "), p.Reason)
		fmt.Fprintf(&b, "  measured reward %.4f, predicted %.4f; ART %.4f per request from %s\n", p.MeasuredReward,
			p.PredictedReward, p.ART, p.Basis)
		p.Forecast.text(&b)
		p.ForecastScore.text(&b)
		for _, bound := range p.Bounds {
			fmt.Fprintf(&b, "  limit that took effect: %s (%s)\n", bound, bound.Words())
		}
		if x := p.Experience; x != nil {
			fmt.Fprintf(&b, "  experience: %s\n", x.words())
		}
		if text := p.Advice.words(); text != "" {
			fmt.Fprintf(&b, "  %s\n", text)
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
