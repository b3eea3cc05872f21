// Package pursuit pursues an objective: it finds the settings of all controls that were allowed, weights, admission and
// scaling, that an objective is best served by, and is the policy that sets them.
//
//	observe → World (what is believed, or known) → Search (formula over the controls' grid, then the twin)
//	        → propose → apply
//
// A World is a value: servers with slots and service times, services with their load, limits of the controls. Predict
// says by the formulas of package tuner/queueing what a Setting gives in it, Play has the twin say so
// (deathstarbench/sim), interval by interval, so that what a bound is worth beside the chance of an interval is counted
// too. Search looks at every point of the grid with the formula while there are at most mostPoints, goes along the
// coordinates otherwise, and ranks the best of them on the twin.
//
//	best := pursuit.Search([]pursuit.World{world}, goal, pursuit.Options{})
//	fmt.Println(best.Setting, best.Value.Reward)
//
// Policy is the control.Policy: what it knows of servers are the tuner's beliefs. Optimal is the yardstick: the same
// search in the true world. Score says how much of the optimum a run had.
//
// The package knows neither NGINX nor how settings get there.
package pursuit
