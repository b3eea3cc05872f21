package queueing

// nearFull is the utilisation from which a queue is not in a steady state within any horizon that a plan looks at.
const nearFull = 0.97

// Planned returns the mean waiting time in seconds over the next horizon seconds at a server of c slots with the mean service time
// given, and its derivative with respect to rho: Wait up to nearFull, and beyond it that plus the queue that grows meanwhile,
// (ρ−nearFull)·horizon/2 on average. It is finite for every finite rho.
func Planned(rho, c, serviceSec float64, v Flow, horizonSec float64) (waitSec, slope float64) {
	over := 0.0
	if rho > nearFull {
		rho, over = nearFull, rho-nearFull
	}
	const step = 1e-4
	waitSec = serviceSec * Wait(rho, c, v)
	slope = (serviceSec*Wait(rho+step, c, v) - waitSec) / step
	if over > 0 {
		steep := slope + horizonSec/2
		return waitSec + over*steep, steep
	}
	return waitSec, slope
}

// PlannedWait is the wait of Planned alone, for half of the work.
func PlannedWait(rho, c, serviceSec float64, v Flow, horizonSec float64) float64 {
	if rho > nearFull {
		waitSec, _ := Planned(rho, c, serviceSec, v, horizonSec)
		return waitSec
	}
	return serviceSec * Wait(rho, c, v)
}

// Draining returns how long requests wait on average over the next horizon seconds for a backlog that takes backlogSec to serve, at a
// server that is sent rho of what it serves meanwhile, and its derivative with respect to rho: half of the backlog for the part of the
// horizon in which it lasts, backlog/(1−ρ), and all of it when it outlasts the horizon twice.
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
