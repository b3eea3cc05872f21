package daemon

import (
	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
)

// objectiveMetrics are those of [objective]: what is pursued, what it gave, and how often the bounds held, as quotients
// of two counters. Without an objective none of them has a series.
type objectiveMetrics struct {
	reward, blocked, units *gauges
	intervals, held        *prometheus.CounterVec
}

func newObjectiveMetrics(reg prometheus.Registerer) *objectiveMetrics {
	perLabel := func(name, help string, labels ...string) *gauges {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "trimtab_" + name, Help: help}, labels)
		reg.MustRegister(g)
		return &gauges{vec: g, labels: len(labels)}
	}
	counters := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trimtab_" + name, Help: help},
			[]string{"objective", "upstream"})
		reg.MustRegister(c)
		return c
	}
	return &objectiveMetrics{
		reward: perLabel("objective_reward_per_second", "Reward of the last interval by the objective that "+
			"is pursued.", "objective"),
		blocked: perLabel("admission_blocked_ratio", "Part of the upstream's requests that admission refuses.",
			"upstream"),
		units: perLabel("scaling_units", "Units of capacity that the server has by the objective's decisions.",
			"server"),
		intervals: counters("objective_intervals_total", "Intervals in which the bound of the upstream was judged."),
		held:      counters("objective_held_intervals_total", "Intervals in which the bound of the upstream held."),
	}
}

// take records an interval; nil: no objective is pursued.
func (m *objectiveMetrics) take(e *control.ObjectiveExplanation) {
	defer drop(m.reward, m.blocked, m.units)
	if e == nil {
		return
	}
	m.reward.set(e.Reward, e.Kind)
	for name, s := range e.Services {
		m.blocked.set(e.Levels.Blocked[name], label(name))
		if s.BoundMS <= 0 {
			continue
		}
		m.intervals.WithLabelValues(e.Kind, label(name)).Inc()
		if held := m.held.WithLabelValues(e.Kind, label(name)); s.Held {
			held.Inc()
		}
	}
	for name, n := range e.Levels.Capacity {
		m.units.set(float64(n), label(name))
	}
}
