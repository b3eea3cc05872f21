package queueing

import "math"

// Busy returns how many of c slots are busy on average at a server that holds inside requests on average (waiting and in
// service): the b with b = cρ and inside = cρ(1 + Wait(ρ, c)), by Little's law. It is inside itself while nothing waits and c when
// everything does, so that it is well behaved where a waiting time is not: near full use and beyond.
//
// With the rate of completions X it gives the mean service time without the waiting, b/X (the utilisation law, Denning and Buzen 1978),
// whatever the load was and whether or not the queue was in a steady state.
func Busy(inside, c float64, v Flow) float64 {
	if !(inside > 0) {
		return 0
	}
	// inside(ρ) rises from 0 to +Inf on [0, 1): bisection on the utilisation, which cannot leave the interval.
	low, high := 0.0, math.Min(1, inside/c)
	// Where nothing waits, all steps go up: one look at the last of them saves the others.
	if last := high * (1 - 1.0/(1<<busySteps)); c*last*(1+Wait(last, c, v)) < inside {
		for range busySteps {
			low = (low + high) / 2
		}
		return c * (low + high) / 2
	}
	for range busySteps {
		rho := (low + high) / 2
		if c*rho*(1+Wait(rho, c, v)) < inside {
			low = rho
		} else {
			high = rho
		}
	}
	return c * (low + high) / 2
}

// busySteps halve the interval of utilisations: 2⁻¹⁴ of it is far below the noise of any interval.
const busySteps = 14

// Inside is the inverse of Busy: how many requests a server of c slots holds at utilisation rho; +Inf at full use and beyond.
func Inside(rho, c float64, v Flow) float64 {
	if !(rho > 0) {
		return 0
	}
	return c * rho * (1 + Wait(rho, c, v))
}
