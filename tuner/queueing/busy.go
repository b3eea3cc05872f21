package queueing

import "math"

// Busy returns how many of c slots are busy on average at a server that holds inside requests on average (waiting and
// in service): the b with b = cρ and inside = cρ(1 + Wait(ρ, c)), by Little's law. It is inside itself while nothing
// waits and c when everything does, so that it is well behaved where a waiting time is not: near full use and beyond.
//
// With the rate of completions X it gives the mean service time without the waiting, b/X (the utilisation law, Denning
// and Buzen 1978), whatever the load was and whether or not the queue was in a steady state.
func Busy(inside, c float64, v Flow) float64 {
	if !(inside > 0) {
		return 0
	}
	if inside > fullFrom*c {
		return c
	}
	k := v.at(c)
	if inside < c && k.clockwork() {
		return inside
	}
	// (inside(ρ) − inside)·(1−ρ) = cρ(1−ρ) + ρ·V(ρ) − inside·(1−ρ), V being smooth and bounded up to full use, has its
	// one zero below high. Newton's steps from there, kept inside the interval that holds the zero, find it in three or
	// four.
	low, high := 0.0, math.Min(1, inside/c)
	rho := high
	if rho < 1 && k.negligible(rho) {
		return inside
	}
	for range busySteps {
		waits, steep := 0.0, 0.0
		if !k.clockwork() {
			waits, steep = k.bounded(rho, math.Log(rho)), k.steepness(rho)
		}
		over := (c*rho-inside)*(1-rho) + rho*waits
		if over > 0 {
			high = rho
		} else {
			low = rho
		}
		step := over / (c*(1-2*rho) + inside + waits*(1+rho*steep))
		next := rho - step
		if math.Abs(step) < busyEnough {
			return c * max(low, min(high, next))
		}
		if !(next > low && next < high) {
			next = (low + high) / 2
		}
		rho = next
	}
	return c * rho
}

const (
	busySteps  = 60   // never reached but by bisection
	busyEnough = 1e-4 // utilisation: the step after it is the square of that
	fullFrom   = 1e9  // requests per slot from which all slots are busy, to the last digit
)
