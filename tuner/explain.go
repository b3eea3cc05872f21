package tuner

import (
	"math"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
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
	Objective *control.ObjectiveExplanation `json:"objective,omitempty"`
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

// Coming is a regime of load that may begin soon.
type Coming struct {
	Regime      int                `json:"regime"` // its identity
	Probability float64            `json:"probability"`
	WithinSec   float64            `json:"within_s"`
	RatePerSec  map[string]float64 `json:"rate_per_s"` // by upstream group
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
func (e *PoolExplanation) servers(p *pool) {
	if len(p.beliefs) != len(p.servers) { // it was never planned
		return
	}
	for j, sv := range p.servers {
		b := &p.beliefs[j]
		s := ServerExplanation{Server: sv.address, Slots: b.MeanSlots(), CapacityPerSec: map[string]float64{},
			ServiceSec: map[string]float64{},
			ServiceSD:  map[string]float64{}}
		for k, g := range sv.groups {
			s.Errors = math.Max(s.Errors, b.Fail[k])
			if len(b.Slots) > 0 {
				s.CapacityPerSec[g.name], s.ServiceSec[g.name], s.ServiceSD[g.name] = b.Capacity(k), b.Service(k), b.SD[k]
			}
			for _, l := range g.links {
				s.Ejected = s.Ejected || l.server == sv && l.Eject.Active
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

// expected are the regimes that may begin soon.
func (t *Tuner) expected() (out []Coming) {
	f := t.regimes.Forecast()
	likely, _, _ := f.Within(t.params.ForecastSec)
	for _, l := range likely {
		if l.Probability < leastLikely {
			continue
		}
		d := f.Demands[l.Demand]
		x := Coming{Regime: d.ID, Probability: l.Probability, WithinSec: t.params.ForecastSec}
		x.RatePerSec = make(map[string]float64, len(f.Groups))
		for g, name := range f.Groups {
			x.RatePerSec[name] = d.RatePerSec[g]
		}
		out = append(out, x)
	}
	return out
}
