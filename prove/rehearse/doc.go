// Package rehearse plays experiments of package prove in the simulator: how often do they find what is there, and what
// is not?
//
//	x, err := rehearse.Play(ctx, scenario, plan, seed, policy)
//	truth, err := rehearse.Truth(ctx, scenario, weights, plan, seed) // what an endless experiment would find
//
// It does not know the daemon: the switching of arms is played in its simplest form, and takes a reload each.
package rehearse
