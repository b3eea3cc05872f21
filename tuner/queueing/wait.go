package queueing

import "math"

// Flow is how irregular arrivals and service at a server are: squared coefficients of variation (SCV) of the times
// between arrivals and of the service times.
type Flow struct{ Arrivals, Service float64 }

// Wait returns the mean waiting time at a server of c slots and utilisation rho, in units of the mean service time:
// Sakasegawa's (1977) approximation of M/M/c,
//
//	W/S = ρ^(√(2(c+1))−1) / (c(1−ρ)),
//
// times Flow.Factor for general arrivals and service (Allen and Cunneen). rho is in [0, 1); at 1 and beyond it is +Inf,
// for there is no steady state. c is at least 1.
func Wait(rho, c float64, v Flow) float64 {
	switch {
	case !(rho > 0):
		return 0
	case rho >= 1:
		return math.Inf(1)
	}
	return v.wait(rho, math.Log(rho), c)
}

// wait is Wait for a rho in (0, 1) whose logarithm is at hand: one exponential for the power and Factor together.
func (v Flow) wait(rho, log, c float64) float64 {
	sum := v.Arrivals + v.Service
	if sum <= 0 {
		return 0
	}
	return math.Exp(exponent(c)*log-v.calm()*(1-rho)/max(rho, leastFactored)) * sum / (2 * c * (1 - rho))
}

// steepness is the derivative of log((1−ρ)·Wait) with respect to rho in (0, 1].
func (v Flow) steepness(rho, c float64) float64 {
	if rho < leastFactored {
		return exponent(c)/rho + v.calm()/leastFactored
	}
	return (exponent(c) + v.calm()/rho) / rho
}

// ByArrivals is the derivative of log(Wait) with respect to Arrivals.
func (v Flow) ByArrivals(rho float64) float64 {
	sum := v.Arrivals + v.Service
	if !(sum > 0) {
		return 0
	}
	out := 1 / sum
	if v.Arrivals < 1 && rho < 1 {
		out *= 1 + v.calm()*(1-rho)/max(rho, leastFactored)*(1+2*sum/(1-v.Arrivals))
	}
	return out
}

// exponent is that of Sakasegawa's formula.
func exponent(c float64) float64 { return math.Sqrt(2*(c+1)) - 1 }

// Factor is what the irregularity of the flow makes of the waiting time of M/M/c: (ca²+cs²)/2, times the correction of
// Krämer and Langenbach-Belz (1976) for arrivals that are more regular than a Poisson stream,
//
//	exp(−2(1−ρ)(1−ca²)² / (3ρ(ca²+cs²))).
//
// A smooth round robin makes them so: a server that is sent every n'th request of a Poisson stream sees ca² = 1/n.
func (v Flow) Factor(rho float64) float64 {
	sum := v.Arrivals + v.Service
	if sum <= 0 {
		return 0
	}
	return sum / 2 * math.Exp(-v.calm()*max(0, 1-rho)/max(rho, leastFactored))
}

// calm is what (1−ρ)/ρ counts for in the correction.
func (v Flow) calm() float64 {
	if v.Arrivals >= 1 {
		return 0
	}
	free := 1 - v.Arrivals
	return 2 * free * free / (3 * (v.Arrivals + v.Service))
}

// leastFactored is the utilisation below which the correction goes no further: nothing waits there anyway.
const leastFactored = 0.05

// Relaxation is the time in seconds in which the queue of a server forgets where it was: σ²/θ² of a reflected Brownian
// motion with the drift θ = μ−λ and the variance σ² = λ(ca²+cs²) per second, μ = slots/service. +Inf at full use, 0
// without load.
func Relaxation(rho, c, serviceSec float64, v Flow) float64 {
	if !(rho > 0) || serviceSec <= 0 {
		return 0
	}
	if rho >= 1 {
		return math.Inf(1)
	}
	mu := c / serviceSec
	return rho * mu * (v.Arrivals + v.Service) / (mu * mu * (1 - rho) * (1 - rho))
}
