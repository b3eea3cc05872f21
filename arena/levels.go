package arena

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
)

// Leveller is a World whose controls beside weights can be set too.
type Leveller interface {
	SetLevels(ctx context.Context, l control.Levels) error
}

// SetLevels implements Leveller.
func (w *SimWorld) SetLevels(_ context.Context, l control.Levels) error {
	if err := w.run.SetBlocked(l.Blocked); err != nil {
		return err
	}
	return w.run.SetSlots(l.Capacity)
}

var _ Leveller = (*SimWorld)(nil)

// pursued scores a run by the objective of its scenario, interval by interval.
type pursued struct {
	objective objective.Objective
	row       ObjectiveRow
	points    map[int]pursuedPoint // by the number of the interval
	intervals int                  // all, those before the warm-up too
}

// pursuedPoint is what counts of one interval after the warm-up.
type pursuedPoint struct {
	outcome objective.Outcome
	reward  float64
	held    map[string]bool
}

// ObjectiveRow is the score of a run by the objective of its scenario. Rewards are per second, means over the intervals
// after the warm-up, from what the status page showed: the delay of a service is that of its slowest path.
type ObjectiveRow struct {
	Kind   string  `json:"kind"`
	Reward float64 `json:"reward"`
	// ShareOfOptimal is the reward as a share of that of the policy optimal on the same requests; where rewards are
	// prices, the price of optimal as a share of this one. null: it was not played.
	ShareOfOptimal *float64 `json:"share_of_optimal"`
	// By upstream: the share of the intervals in which the bound held, and of those in which it held for optimal.
	Held             map[string]float64 `json:"held"`
	HeldWhereOptimal map[string]float64 `json:"held_where_optimal,omitempty"`
	Carried          map[string]float64 `json:"carried_per_s"`
	Offered          map[string]float64 `json:"offered_per_s"`
	DelayMS          map[string]float64 `json:"delay_ms"`
	Capacity         float64            `json:"capacity_units,omitempty"`
	// Intervals were scored, Disturbed left out because the machine kept the world waiting; with ShareOfOptimal those
	// that count in both runs.
	Intervals int `json:"intervals"`
	Disturbed int `json:"disturbed"`
	// Changes are the decisions that changed a control beside weights.
	Changes int `json:"level_changes"`
}

// ObjectivePoint is one interval in a trace.
type ObjectivePoint struct {
	Reward   float64             `json:"reward"`
	Services []objective.Service `json:"services"`
	Levels   control.Levels      `json:"levels"`
	Capacity float64             `json:"capacity_units,omitempty"`
	// LateMS and LateMostMS are how late timers of the machine were, on average and at most.
	LateMS     float64 `json:"late_ms,omitempty"`
	LateMostMS float64 `json:"late_most_ms,omitempty"`
}

// Score scores the intervals of a run by the objective of its scenario, for whoever plays it without the arena.
type Score struct{ pursued *pursued }

// NewScore returns a score of nothing yet; nil for a scenario that names no objective.
func NewScore(sc *deathstarbench.Scenario) (*Score, error) {
	p, err := newPursued(sc)
	if p == nil || err != nil {
		return nil, err
	}
	return &Score{p}, nil
}

// Add scores an interval in which levels were in force.
func (s *Score) Add(iv *Interval, levels control.Levels) { s.pursued.add(iv, levels, true) }

// Row is the score so far; nil: no interval could be scored.
func (s *Score) Row() *ObjectiveRow {
	if len(s.pursued.points) == 0 {
		return nil
	}
	score := *s.pursued
	return score.finish(nil)
}

// newPursued is nil for a scenario that names no objective.
func newPursued(sc *deathstarbench.Scenario) (*pursued, error) {
	if sc.Objective.Kind == "" {
		return nil, nil
	}
	o, err := objective.New(sc.Spec())
	if err != nil {
		return nil, fmt.Errorf("scenario %s: objective: %w", sc.Name, err)
	}
	return &pursued{objective: o, row: ObjectiveRow{Kind: o.Kind()}, points: map[int]pursuedPoint{}}, nil
}

// add scores an interval; levels were in force in it, and it counts for the score or not.
func (p *pursued) add(iv *Interval, levels control.Levels, counts bool) *ObjectivePoint {
	n := p.intervals
	p.intervals++
	if iv.Err != nil {
		return nil
	}
	units := 0
	for _, n := range levels.Capacity {
		units += n
	}
	out := objective.Observe(iv.Sample, p.objective.Terms(), float64(units))
	point := &ObjectivePoint{Reward: p.objective.Reward(out), Services: out.Services, Levels: levels,
		Capacity: out.Capacity,
		LateMS:   msec(iv.Late), LateMostMS: msec(iv.LateMost)}
	switch {
	case !counts || iv.Sample.Interval <= 0:
	case iv.Disturbed():
		p.row.Disturbed++
	default:
		held := map[string]bool{}
		for i, ok := range objective.Held(p.objective, out) {
			held[out.Services[i].Name] = ok
		}
		p.points[n] = pursuedPoint{out, point.Reward, held}
	}
	return point
}

// finish returns the score; best is that of optimal, nil: it was not played. Beside it only the intervals count that
// were scored in both.
func (p *pursued) finish(best *pursued) *ObjectiveRow {
	row := &p.row
	row.Held, row.Carried, row.Offered, row.DelayMS = map[string]float64{}, map[string]float64{}, map[string]float64{},
		map[string]float64{}
	where, both := map[string]float64{}, map[string]float64{}
	theirs := 0.0
	for _, n := range slices.Sorted(maps.Keys(p.points)) {
		point := p.points[n]
		var other pursuedPoint
		if best != nil {
			var scored bool
			if other, scored = best.points[n]; !scored {
				continue
			}
			theirs += other.reward
		}
		row.Intervals++
		row.Reward += point.reward
		row.Capacity += point.outcome.Capacity
		for _, v := range point.outcome.Services {
			row.Held[v.Name] += one(point.held[v.Name])
			row.Carried[v.Name] += v.CarriedPerSec
			row.Offered[v.Name] += v.OfferedPerSec
			row.DelayMS[v.Name] += v.DelaySec * 1e3
			where[v.Name] += one(other.held[v.Name])
			both[v.Name] += one(other.held[v.Name] && point.held[v.Name])
		}
	}
	n := float64(max(row.Intervals, 1))
	row.Reward, row.Capacity, theirs = row.Reward/n, row.Capacity/n, theirs/n
	for name := range row.Offered {
		row.Held[name] /= n
		row.Carried[name] /= n
		row.Offered[name] /= n
		row.DelayMS[name] /= n
	}
	if best == nil {
		return row
	}
	share := row.Reward / theirs
	if row.Reward < 0 && theirs < 0 {
		share = theirs / row.Reward
	}
	if !math.IsNaN(share) && !math.IsInf(share, 0) { // no interval was scored in both, or the best is worth nothing
		row.ShareOfOptimal = &share
	}
	row.HeldWhereOptimal = map[string]float64{}
	for name, all := range where {
		if all > 0 {
			row.HeldWhereOptimal[name] = both[name] / all
		}
	}
	return row
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
