// Package autoscale is the world of autoscaled microservices: requests pass through a chain of services, each of which
// has replicas and processor time for each of them; a policy sees the load, a forecast of it, and how busy every
// service was, and changes both.
//
//	reward = R_qos / R_util
//	R_qos  = 1 while the mean response time is at most the objective (400 ms),
//	         exp(−((t − objective)/objective)²) above it
//	R_util = 1 + mean over services of (1 − utilisation)
//
// after DRPC and the learners it is compared with there: meeting the objective with busy replicas is worth 1, with idle
// ones one half.
//
// Policies are Threshold (the rule of Kubernetes' autoscaler), Learner (a deep Q-network with one head per service) and
// Planner (Trimtab's way: what a request costs is measured by the utilisation law, what is enough follows from queueing
// theory and the forecast).
//
// Play plays a policy in simulated time, Emulate against real HTTP servers on loopback, with the same requests. Worlds
// are scenario files of their own kind, autoscaled.toml the built-in one.
package autoscale
