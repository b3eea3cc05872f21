package worlds

import (
	"fmt"
	"math"

	"trimtab/deathstarbench"
	"trimtab/objective"
)

// What mesh worlds lie between. Bounds are as tight as in the published evaluation: 35 and 110 ms for 29 and 103 ms.
const (
	meshShortMS, meshLongMS = 15, 60 // of the first service; the second takes a few times as long
	meshTight, meshLoose    = 1.08, 1.3
	meshLeast, meshMost     = 0.55, 1.1 // of all slots, when both loads are at their peak
	meshStep                = 120       // s that a drawn load lasts
)

// Mesh returns the mesh world of the seed: two services of different length over a few nodes, each with a bound of its mean
// delay, under an objective with admission. Loads are drawn or
// swing; half an hour is observed before the score begins.
func Mesh(seed uint64) *World {
	d := newDice(seed, streamMesh)
	s := &deathstarbench.Scenario{
		Name: fmt.Sprintf("mesh-%d", seed), Duration: seconds(80 * 60), Warmup: seconds(30 * 60), ControlInterval: seconds(10),
		Timeout: deathstarbench.Duration(deathstarbench.DefaultTimeout),
	}
	s.Objective.Kind = pick(d, objective.KindThroughput, objective.KindDifferentiation, objective.KindGuarantee)
	nodes, spread := pick(d, 2, 2, 3), pick(d, 1.0, 1.0, 1.4)
	cv := pick(d, 0.1, 0.1, 0.3)
	short := d.scale(meshShortMS, meshLongMS)
	times := []float64{short, short * d.between(2, 4)}
	workloads := []string{deathstarbench.ReadHomeTimeline, deathstarbench.ReadUserTimeline}
	var names []string
	slots, slowest := 0.0, 1.0
	for i := range nodes {
		slow := d.scale(1, spread+1e-9)
		v := deathstarbench.Server{Name: fmt.Sprintf("node%d", i+1), Slots: pick(d, 2, 2, 3), ServiceCV: cv,
			QueueLimit: deathstarbench.DefaultQueueLimit, Service: map[string]deathstarbench.Duration{}}
		for k, w := range workloads {
			v.Service[w] = milliseconds(slow * times[k])
		}
		s.Servers, names = append(s.Servers, v), append(names, v.Name)
		slots, slowest = slots+float64(v.Slots)/slow, math.Max(slowest, slow)
	}
	kind := pick(d, deathstarbench.PatternDrawn, deathstarbench.PatternSine)
	used, part := d.between(meshLeast, meshMost), d.between(0.15, 0.4)
	for k, w := range workloads {
		work := used * slots * part
		if k == 1 {
			work = used * slots * (1 - part)
		}
		peak := significant(work / (times[k] / 1e3))
		bound := milliseconds(slowest * times[k] * d.between(meshTight, meshLoose))
		u := deathstarbench.Upstream{Name: fmt.Sprintf("information%d", k+1), Workload: w, Servers: names, Method: deathstarbench.RoundRobin, Deadline: bound}
		u.Objective = deathstarbench.UpstreamObjective{Bound: bound, Knee: milliseconds(1.1 * bound.Std().Seconds() * 1e3), MaxBlocked: 1, BlockStep: 0.1}
		if k == 0 && s.Objective.Kind == objective.KindDifferentiation {
			u.Objective.Importance = new(5.0)
		}
		if k == 0 && s.Objective.Kind == objective.KindGuarantee {
			u.Objective.Promised = peak
		}
		s.Upstreams = append(s.Upstreams, u)
		p := deathstarbench.Pattern{Kind: kind, Every: seconds(meshStep)}
		if kind == deathstarbench.PatternDrawn {
			p.Seed = 1 + d.IntN(1e6)
			for quarter := 1; quarter <= 4; quarter++ {
				p.Values = append(p.Values, significant(peak*float64(quarter)/4))
			}
		} else {
			p.Every, p.Period, p.Phase = seconds(60), seconds(math.Round(d.between(600, 1500))), significant(d.between(0, 2*math.Pi))
			p.Mean, p.Amplitude = significant(0.625*peak), significant(0.375*peak)
		}
		s.Loads = append(s.Loads, deathstarbench.Traffic{Workload: w, Arrival: "exp", Pattern: p})
	}
	s.Complete()
	return &World{Scenario: s, Seed: seed, About: facts{"cv": cv, "load": kind, "nodes": nodes, "objective": s.Objective.Kind,
		"peak": significant(used), "speeds": map[bool]string{true: "equal", false: "spread"}[spread == 1]}.String()}
}
