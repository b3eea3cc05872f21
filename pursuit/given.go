package pursuit

import (
	"math"

	"trimtab/tuner/queueing"
)

// given follows the service times of a server whose slots are known because they are a control: the utilisation law
// says how fast it is, Σ λ_k s_k = Busy(L, c), and R_k − W how its classes differ, as package tuner/estimate has it for
// every number of slots.
type given struct {
	log    []float64 // of service times by class, s
	weight []float64 // requests behind them, forgetting
}

// givenMemory is the time over which service times are averaged, s.
const givenMemory = 300.0

// seenClass is what an interval shows of one class.
type seenClass struct{ perSec, responseSec, count float64 }

// observe takes in an interval in which the server had so many slots.
func (g *given) observe(classes []seenClass, slots, regular, scv, seconds float64) {
	if len(g.log) != len(classes) {
		g.log, g.weight = make([]float64, len(classes)), make([]float64, len(classes))
	}
	inside, done := 0.0, 0.0
	for _, c := range classes {
		inside += c.perSec * c.responseSec
		done += c.perSec
	}
	if !(done > 0) || !(inside > 0) {
		return
	}
	busy := queueing.Busy(inside, slots, queueing.Flow{Arrivals: regular, Service: scv})
	wait := math.Max(0, (inside-busy)/done)
	keep := math.Exp(-seconds / givenMemory)
	for k, c := range classes {
		g.weight[k] *= keep
		if !(c.count > 0) || !(c.responseSec > 0) {
			continue
		}
		service := math.Max(c.responseSec-wait, busy/done*leastOfMean)
		if len(classes) == 1 {
			service = busy / done
		}
		// What waited says less of the service than what did not.
		worth := c.count * service / c.responseSec * math.Max(0, 1-wait/c.responseSec)
		if worth <= 0 {
			continue
		}
		if g.weight[k] == 0 {
			g.log[k] = math.Log(service)
		}
		g.weight[k] += worth
		g.log[k] += worth / g.weight[k] * (math.Log(service) - g.log[k])
	}
}

// leastOfMean is the least part of the mean service time that a class is taken to have.
const leastOfMean = 0.05

// service is the mean service time of a class; ok is false before it was seen.
func (g *given) service(class int) (sec float64, ok bool) {
	if class >= len(g.log) || g.weight[class] <= 0 {
		return 0, false
	}
	return math.Exp(g.log[class]), true
}
