package arena

import (
	"slices"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	belief "trimtab/tuner/estimate"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
	"trimtab/vts"
	"trimtab/weights"
)

// Clairvoyant makes the tuner's plan of the truth: the service times, slots, failures and rates that the scenario has,
// with nothing to estimate, no patience and no budget. Late, it is told of everything by so much later. What it
// reaches bounds what that plan can reach for whoever has to observe.
type Clairvoyant struct {
	control.Fixed
	scenario *deathstarbench.Scenario
	problem  plan.Problem
	late     time.Duration
	start    time.Time // of the run, from the first sample
}

var _ control.Policy = (*Clairvoyant)(nil)

// NewClairvoyant returns the policy for a case that is told everything late by the time given.
func NewClairvoyant(c Case, late time.Duration) *Clairvoyant {
	p, sc := params.Default(), c.Scenario
	v := &Clairvoyant{scenario: sc, late: late}
	v.problem = plan.Problem{Params: &p, Table: objective.NewTable(), ErrorTardiness: objective.DefaultErrorTardiness}
	for k := range sc.Upstreams {
		u := &sc.Upstreams[k]
		method := plan.Method(u.Method)
		if c.Method != "" {
			method = plan.Method(c.Method)
		}
		g := plan.Group{Method: method, DeadlineSec: c.Deadlines[u.Name].Seconds()}
		for _, name := range u.Servers {
			j := slices.IndexFunc(sc.Servers, func(s deathstarbench.Server) bool { return s.Name == name })
			g.Links = append(g.Links, plan.Link{Server: j, Class: k})
			g.SCV += sc.Servers[j].ServiceCV * sc.Servers[j].ServiceCV / float64(len(u.Servers))
		}
		v.problem.Groups = append(v.problem.Groups, g)
	}
	return v
}

// Observe implements control.Policy: it takes the time and the backlogs of a sample, and nothing else.
func (v *Clairvoyant) Observe(s vts.Sample, inForce weights.Set) {
	if v.start.IsZero() {
		v.start = s.At.Add(-s.Interval)
	}
	at := max(0, s.At.Sub(v.start)-v.late)
	p := v.problem
	p.Groups, p.Beliefs = slices.Clone(p.Groups), v.truth(at)
	for k := range p.Groups {
		p.Groups[k].RatePerSec = v.scenario.RateAt(v.scenario.Upstreams[k].Workload, at)
	}
	v.backlogs(&s, p.Beliefs)
	v.Decision = control.Decision{Reason: "hold: the plan is in force", Weights: weights.Set{}}
	if p.Demand = p.Loads(1); len(p.Demand) == 0 {
		return
	}
	x := p.Solve(p.Proportional())
	for k := range v.scenario.Upstreams {
		u := &v.scenario.Upstreams[k]
		want := settingsOf(u.Servers, weights.Quantise(x[k]))
		if !near(want, inForce[u.Name], p.Params.DeadBand/float64(len(u.Servers))) {
			v.Decision.Weights[u.Name] = want
			v.Decision.Reason = "the plan of the truth"
		}
	}
}

// truth is what there is to believe of every server at a time. The network holds no slot: a server far away is one
// with longer services and as many more slots. A pause is over before anybody could answer it.
func (v *Clairvoyant) truth(at time.Duration) []belief.Belief {
	out := make([]belief.Belief, len(v.scenario.Servers))
	for j := range v.scenario.Servers {
		s := &v.scenario.Servers[j]
		slots, factor, delay, served := float64(s.Slots), 1.0, 0.0, 1.0
		for _, f := range v.scenario.Faults {
			if f.Server != s.Name || f.At.Std() > at || f.Until.Std() <= at {
				continue
			}
			switch f.Kind {
			case deathstarbench.Capacity:
				slots = float64(f.Slots)
			case deathstarbench.Slowdown:
				factor *= f.Factor
			case deathstarbench.NetworkDelay:
				delay += f.Delay.Std().Seconds()
			case deathstarbench.Error, deathstarbench.Hang, deathstarbench.Shed:
				served *= 1 - f.Probability
			case deathstarbench.Down:
				served = 0
			}
		}
		n := len(v.scenario.Upstreams)
		h := belief.Hypothesis{Probability: 1, ServiceSec: make([]float64, n)}
		b := belief.Belief{Known: true, SD: make([]float64, n), Fail: make([]float64, n)}
		service, response := 0.0, 0.0
		for k := range v.scenario.Upstreams {
			workload := v.scenario.Upstreams[k].Workload
			sec := s.Service[workload].Std().Seconds() * factor
			far := sec + s.Delay(workload).Seconds() + delay
			service, response = service+sec, response+far
			h.ServiceSec[k], b.Fail[k] = far, 1-served
		}
		if h.Slots = slots; service > 0 {
			h.Slots *= response / service
		}
		b.Slots = []belief.Hypothesis{h}
		out[j] = b
	}
	return out
}

// backlogs says how many requests every server held and finished in the interval of a sample.
func (v *Clairvoyant) backlogs(s *vts.Sample, beliefs []belief.Belief) {
	for k := range v.scenario.Upstreams {
		i := slices.IndexFunc(s.Groups, func(g vts.GroupSample) bool { return g.Name == v.scenario.Upstreams[k].Name })
		if i < 0 || s.Interval <= 0 {
			continue
		}
		for n, l := range v.problem.Groups[k].Links {
			p, sec := &s.Groups[i].Peers[n], s.Interval.Seconds()
			beliefs[l.Server].Inside += float64(p.ResponseMsec) / 1e3 / sec
			beliefs[l.Server].Done += float64(p.Requests) / sec
		}
	}
}
