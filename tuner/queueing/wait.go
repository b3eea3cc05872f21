package queueing

import "math"

// Slots are the numbers of slots, requests in service at once, that a server may be believed to have. Between two of
// them the waiting time differs by less than the noise of an interval.
var Slots = [...]float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128}

// Flow is how irregular arrivals and service at a server are: squared coefficients of variation (SCV) of the times
// between arrivals and of the service times.
type Flow struct{ Arrivals, Service float64 }

// Wait returns the mean waiting time at a server of c slots and utilisation rho, in units of the mean service time:
// Sakasegawa's (1977) approximation of M/M/c,
//
//	W/S = ρ^(√(2(c+1))−1) / (c(1−ρ)),
//
// times what the irregularity of arrivals and service makes of it (Allen and Cunneen): (ca²+cs²)/2, and the correction
// of Krämer and Langenbach-Belz (1976) for arrivals that are more regular than a Poisson stream,
//
//	exp(−2(1−ρ)(1−ca²)² / (3ρ(ca²+cs²))).
//
// A smooth round robin makes them so: a server that is sent every n'th request of a Poisson stream sees ca² = 1/n.
// rho is in [0, 1); at 1 and beyond the result is +Inf, for there is no steady state. c is at least 1.
func Wait(rho, c float64, v Flow) float64 {
	switch {
	case !(rho > 0):
		return 0
	case rho >= 1:
		return math.Inf(1)
	}
	return v.at(c).wait(rho, math.Log(rho))
}

// curve is the formula of Wait at a server with a number of slots, as a function of the utilisation.
type curve struct {
	slots    float64
	factor   float64 // (ca²+cs²)/2; 0: a clockwork, nothing waits
	exponent float64 // of ρ
	calm     float64 // of (1−ρ)/ρ in the correction
}

func (v Flow) at(c float64) curve {
	k := curve{slots: c, exponent: math.Sqrt(2*(c+1)) - 1}
	if sum := v.Arrivals + v.Service; sum > 0 {
		k.factor, k.calm = sum/2, v.calm()
	}
	return k
}

// calm is what (1−ρ)/ρ counts for in the correction.
func (v Flow) calm() float64 {
	if v.Arrivals >= 1 {
		return 0
	}
	free := 1 - v.Arrivals
	return 2 * free * free / (3 * (v.Arrivals + v.Service))
}

// clockwork reports whether nothing ever waits below full use.
func (k curve) clockwork() bool { return k.factor == 0 }

// negligible reports whether next to nothing waits at a rho in (0, 1). A power of two above rho spares its logarithm.
func (k curve) negligible(rho float64) bool {
	_, above := math.Frexp(rho)
	return k.factor > 0 && k.calm*(1-rho)/max(rho, leastCorrected)-float64(above)*math.Ln2*k.exponent > nothingWaits
}

// nothingWaits is −log of a wait in services that is none.
const nothingWaits = 14

// wait is Wait for a rho in (0, 1) whose logarithm is at hand.
func (k curve) wait(rho, log float64) float64 { return k.bounded(rho, log) / (k.slots * (1 - rho)) }

// bounded is c(1−ρ)·Wait, which is smooth and bounded up to full use: one exponential for the power and the correction.
func (k curve) bounded(rho, log float64) float64 {
	return k.factor * math.Exp(k.exponent*log-k.calm*(1-rho)/max(rho, leastCorrected))
}

// steepness is the derivative of log(bounded) with respect to rho in (0, 1].
func (k curve) steepness(rho float64) float64 {
	if rho < leastCorrected {
		return k.exponent/rho + k.calm/leastCorrected
	}
	return (k.exponent + k.calm/rho) / rho
}

// leastCorrected is the utilisation below which the correction goes no further: nothing waits there anyway.
const leastCorrected = 0.05

// ByArrivals is the derivative of log(Wait) with respect to Arrivals.
func (v Flow) ByArrivals(rho float64) float64 {
	sum := v.Arrivals + v.Service
	if !(sum > 0) {
		return 0
	}
	out := 1 / sum
	if v.Arrivals < 1 && rho < 1 {
		out *= 1 + v.calm()*(1-rho)/max(rho, leastCorrected)*(1+2*sum/(1-v.Arrivals))
	}
	return out
}
