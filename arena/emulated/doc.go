// Package emulated is what worlds need to be played against real HTTP servers on loopback in place of simulated time:
// Start serves handlers, Serve answers a request after it waited at a Gate, first come, first served, and its time is
// over, Client and Ask send one.
//
//	time of an answer = scale · (wait + service(X-Normal))
//
// X-Normal of a request is the standard normal deviate of its service time, so that the same requests take as long as
// in simulated time; X-Service of the answer is the time in service, in s of the world.
//
// It knows no world: what a deviate means, who waits where and what is sent is the caller's. The servers of the social
// network, with faults and workloads, are those of deathstarbench/socialnet.
package emulated
