package queueing

import "math"

// NearFull is the utilisation from which a queue is not in a steady state within any horizon that a plan looks at.
const (
	NearFull    = 0.97
	logNearFull = -0.030459207484708574 // of NearFull
)

// Planned returns the mean waiting time in seconds over the next horizon seconds at a server of c slots with the mean
// service time given, and its derivative with respect to rho: Wait up to NearFull, and beyond it that plus the queue
// that grows meanwhile, (ρ−NearFull)·horizon/2 on average. It is finite for every finite rho.
func Planned(rho, c, serviceSec float64, v Flow, horizonSec float64) (waitSec, slope float64) {
	if !(rho > 0) {
		return 0, 0
	}
	k := v.at(c)
	switch {
	case k.clockwork() && rho <= NearFull:
		return 0, 0
	case k.clockwork():
		return (rho - NearFull) * horizonSec / 2, horizonSec / 2
	case rho <= NearFull:
		waitSec = serviceSec * k.wait(rho, math.Log(rho))
		return waitSec, waitSec * (k.steepness(rho) + 1/(1-rho))
	}
	waitSec = serviceSec * k.wait(NearFull, logNearFull)
	slope = waitSec*(k.steepness(NearFull)+1/(1-NearFull)) + horizonSec/2
	return waitSec + (rho-NearFull)*slope, slope
}

// Draining returns how long requests wait on average over the next horizon seconds for a backlog that takes backlogSec
// to serve, at a server that is sent rho of what it serves meanwhile, and its derivative with respect to rho: half of
// the backlog for the part of the horizon in which it lasts, backlog/(1−ρ), and all of it when it outlasts the horizon
// twice.
func Draining(backlogSec, rho, horizonSec float64) (waitSec, slope float64) {
	if !(backlogSec > 0) {
		return 0, 0
	}
	left := 2 * horizonSec * (1 - rho)
	if left <= backlogSec {
		return backlogSec, 0
	}
	waitSec = backlogSec * backlogSec / left
	return waitSec, waitSec / (1 - rho)
}
