package pursuit

import (
	"fmt"
	"maps"
	"math"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/vts"
	"trimtab/weights"
)

// Optimal is the yardstick: it knows the scenario, its loads and faults to come, and sets in every interval what a
// search in the true world found best for it. No policy that observes can know the load of an interval before it began.
type Optimal struct {
	control.Fixed
	scenario  *deathstarbench.Scenario
	objective objective.Objective
	opt       Options
	plans     map[string]Found
	levels    control.Levels
	start     time.Time
	late      bool
}

var _ control.Policy = (*Optimal)(nil)

// optimalCandidates are the settings that the twin ranks for the yardstick, optimalIntervals how long.
const (
	optimalCandidates = 200
	optimalIntervals  = 480
)

// NewOptimal returns the yardstick of a scenario.
func NewOptimal(sc *deathstarbench.Scenario, seed uint64) (*Optimal, error) {
	o, err := objective.New(sc.Spec())
	if err != nil {
		return nil, fmt.Errorf("scenario %s: objective: %w", sc.Name, err)
	}
	p := &Optimal{scenario: sc, objective: o, plans: map[string]Found{},
		opt: Options{Interval: sc.ControlInterval.Std(), Candidates: optimalCandidates, Intervals: optimalIntervals,
			Seed: seed}}
	p.levels = control.Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}
	for i := range sc.Servers {
		if sc.Servers[i].Capacity.Max > 0 {
			p.levels.Capacity[sc.Servers[i].Name] = sc.Servers[i].Slots
		}
	}
	// All searches are made before the run, so that none takes time in it.
	for at := p.opt.Interval / 2; at < sc.Duration.Std(); at += p.opt.Interval {
		if _, _, err := p.Best(at); err != nil {
			return nil, fmt.Errorf("scenario %s: the optimum at %s: %w", sc.Name, at, err)
		}
	}
	return p, nil
}

// NewOptimalLate returns what is left of the yardstick without foresight: it knows servers and loads exactly, but sets
// for an interval what was best for the one before. It bounds what a policy that observes can be expected to reach
// where loads and faults come unannounced.
func NewOptimalLate(sc *deathstarbench.Scenario, seed uint64) (*Optimal, error) {
	p, err := NewOptimal(sc, seed)
	if err == nil {
		p.late = true
	}
	return p, err
}

// Best is the best setting at a time of the scenario.
func (p *Optimal) Best(at time.Duration) (World, Found, error) {
	w := FromScenario(p.scenario, at)
	key := ""
	for k := range w.Services {
		// Loads that differ by less want the same.
		w.Services[k].OfferedPerSec = math.Round(w.Services[k].OfferedPerSec*2) / 2
		key += fmt.Sprint(w.Services[k].OfferedPerSec, " ")
	}
	for j := range w.Servers {
		key += fmt.Sprint(w.Servers[j].Slots, w.Servers[j].ServiceSec, " ")
	}
	if f, ok := p.plans[key]; ok {
		return w, f, nil
	}
	f, err := Search([]World{w}, p.objective, p.opt)
	if err == nil {
		p.plans[key] = f
	}
	return w, f, err
}

// Observe implements control.Policy.
func (p *Optimal) Observe(s vts.Sample, inForce weights.Set) {
	if p.start.IsZero() {
		p.start = s.At.Add(-s.Interval)
	}
	at := s.At.Sub(p.start) + p.opt.Interval/2
	if p.late {
		at -= p.opt.Interval
	}
	w, best, err := p.Best(at)
	if err != nil {
		p.Decision = hold("%v", err)
		return
	}
	d := control.Decision{Reason: "the optimum", Weights: weights.Set{},
		Levels: control.Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}}
	set := w.Weigh(best.Setting, inForce)
	for k := range w.Services {
		name := w.Services[k].Name
		if !set[name].Equal(inForce[name]) {
			d.Weights[name] = set[name]
		}
		if p.levels.Blocked[name] != best.Setting.Blocked[k] {
			d.Levels.Blocked[name] = best.Setting.Blocked[k]
		}
	}
	for j := range w.Servers {
		if n := best.Setting.Units[j]; n > 0 && n != p.levels.Capacity[w.Servers[j].Name] {
			d.Levels.Capacity[w.Servers[j].Name] = n
		}
	}
	p.Decision = d
}

// Committed implements control.Policy.
func (p *Optimal) Committed(r control.Receipt) {
	maps.Copy(p.levels.Blocked, r.Levels.Blocked)
	maps.Copy(p.levels.Capacity, r.Levels.Capacity)
}
