// Package socialnet emulates the backends of the DeathStarBench social network: HTTP servers that really register,
// follow, compose and read timelines, with the replies of the original's front end, and that behave like real
// servers where it matters to a load balancer.
//
// # Capacity model
//
// A server has c slots. A request that finds a slot free begins service at once; otherwise it waits, first come first
// served, and beyond the queue limit it is refused with 503. Service times are lognormal with the mean m and the
// coefficient of variation v that the scenario gives for the workload: σ² = ln(1+v²), μ = ln m − σ²/2. Completions
// are computed, not slept: a request that waited begins at the instant at which its predecessor was due to end, however
// late the timer was, so that the capacity is exactly c/m whatever the machine does meanwhile. The real
// work of a request (parsing, fan-out, encoding) is done while it waits and is not added.
//
// Delay of the network and injected failures hold no slot. Calls that set a network up (register, follow, unfollow)
// are outside the model: they are answered at once.
//
// The package knows nothing of NGINX, of who sends the requests or of what is measured.
package socialnet
