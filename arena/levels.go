package arena

import (
	"context"
	"fmt"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/objective"
	"trimtab/vts"
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
	points    []pursuedPoint
	intervals int
}

// pursuedPoint is what counts of one interval after the warm-up.
type pursuedPoint struct {
	atSec  float64
	reward float64
	held   map[string]bool
}

// ObjectiveRow is the score of a run by the objective of its scenario. Rewards are per second, means over the intervals after the warm-up,
// from what the status page showed: the delay of a service is that of its slowest path.
type ObjectiveRow struct {
	Kind   string  `json:"kind"`
	Reward float64 `json:"reward"`
	// ShareOfOptimal is the reward as a share of that of the policy optimal on the same requests; where rewards are prices, the
	// price of optimal as a share of this one. null: it was not played.
	ShareOfOptimal *float64 `json:"share_of_optimal"`
	// By upstream: the share of the intervals in which the bound held, and of those in which it held for optimal.
	Held             map[string]float64 `json:"held"`
	HeldWhereOptimal map[string]float64 `json:"held_where_optimal,omitempty"`
	Carried          map[string]float64 `json:"carried_per_s"`
	Offered          map[string]float64 `json:"offered_per_s"`
	DelayMS          map[string]float64 `json:"delay_ms"`
	Capacity         float64            `json:"capacity_units,omitempty"`
	// Changes are the decisions that changed a control beside weights.
	Changes int `json:"level_changes"`
}

// ObjectivePoint is one interval in a trace.
type ObjectivePoint struct {
	Reward   float64             `json:"reward"`
	Services []objective.Service `json:"services"`
	Levels   control.Levels      `json:"levels"`
	Capacity float64             `json:"capacity_units,omitempty"`
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
	return &pursued{objective: o, row: ObjectiveRow{Kind: o.Kind(), Held: map[string]float64{}, Carried: map[string]float64{},
		Offered: map[string]float64{}, DelayMS: map[string]float64{}}}, nil
}

// add scores an interval that ended at so many seconds; levels were in force in it, and it counts for the score or not.
func (p *pursued) add(atSec float64, s vts.Sample, levels control.Levels, counts bool) *ObjectivePoint {
	units := 0
	for _, n := range levels.Capacity {
		units += n
	}
	out := objective.Observe(s, p.objective.Terms(), float64(units))
	point := &ObjectivePoint{Reward: p.objective.Reward(out), Services: out.Services, Levels: levels, Capacity: out.Capacity}
	if !counts || s.Interval <= 0 {
		return point
	}
	p.intervals++
	p.row.Reward += point.Reward
	p.row.Capacity += out.Capacity
	held := map[string]bool{}
	for i, ok := range objective.Held(p.objective, out) {
		v := out.Services[i]
		held[v.Name] = ok
		if ok {
			p.row.Held[v.Name]++
		}
		p.row.Carried[v.Name] += v.CarriedPerSec
		p.row.Offered[v.Name] += v.OfferedPerSec
		p.row.DelayMS[v.Name] += v.DelaySec * 1e3
	}
	p.points = append(p.points, pursuedPoint{atSec, point.Reward, held})
	return point
}

// finish returns the score; best is that of optimal, nil: it was not played.
func (p *pursued) finish(best *pursued) *ObjectiveRow {
	row := &p.row
	n := float64(max(p.intervals, 1))
	row.Reward /= n
	row.Capacity /= n
	for name := range row.Offered {
		row.Held[name] /= n
		row.Carried[name] /= n
		row.Offered[name] /= n
		row.DelayMS[name] /= n
	}
	if best == nil {
		return row
	}
	share := row.Reward / best.row.Reward
	if row.Reward < 0 && best.row.Reward < 0 {
		share = best.row.Reward / row.Reward
	}
	row.ShareOfOptimal = &share
	row.HeldWhereOptimal = map[string]float64{}
	for name := range row.Offered {
		both, all := 0.0, 0.0
		for i := range min(len(p.points), len(best.points)) {
			if best.points[i].held[name] {
				all++
				if p.points[i].held[name] {
					both++
				}
			}
		}
		if all > 0 {
			row.HeldWhereOptimal[name] = both / all
		}
	}
	return row
}
