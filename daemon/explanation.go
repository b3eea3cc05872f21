package daemon

import (
	"trimtab/tuner"
)

// What the daemon reads in an explanation is all in this file.

// operatorEdited reports whether the tuner saw that somebody else changed weights.
func operatorEdited(e *tuner.Explanation) bool {
	if e == nil {
		return false
	}
	for _, p := range e.Pools {
		for _, b := range p.Bounds {
			if b == tuner.BoundOperator {
				return true
			}
		}
	}
	return false
}

func (m *loopMetrics) explanation(e *tuner.Explanation) {
	m.left.Set(float64(e.Budget))
	m.regime.Set(float64(e.Regime.Index))
	setFinite(m.probability, e.Regime.Probability)
	defer drop(m.reward, m.predicted, m.art, m.utilisation, m.saturated, m.slots, m.capacity, m.service, m.serviceSD,
		m.ejected)
	for _, p := range e.Pools {
		name := labels(p.Groups)
		m.reward.set(p.MeasuredReward, name)
		m.predicted.set(p.PredictedReward, name)
		m.art.set(p.ART, name)
		for _, b := range p.Bounds {
			m.bounds.WithLabelValues(string(b)).Inc()
		}
		for _, s := range p.Servers {
			server := label(s.Server)
			m.utilisation.set(s.Utilisation, server)
			m.saturated.set(truth(s.Saturated), server)
			m.slots.set(s.Slots, server)
			m.ejected.set(truth(s.Ejected), server)
			for group, v := range s.CapacityPerSec {
				m.capacity.set(v, label(group), server)
				m.service.set(s.ServiceSec[group], label(group), server)
				m.serviceSD.set(s.ServiceSD[group], label(group), server)
			}
		}
	}
	if operatorEdited(e) {
		m.operatorEdits.Inc()
	}
}
