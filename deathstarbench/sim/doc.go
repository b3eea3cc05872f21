// Package sim is the discrete-event twin of the testbed: it plays a scenario with NGINX's balancing rules in front of
// servers with slots and queues, thousands of seconds in a second, and reports per control interval exactly what the
// poller of the status page would.
//
// # The model
//
// Requests of each load arrive by the processes of package arrival. NGINX picks a server of the workload's upstream
// group by the group's method (the rules of NGINX 1.22: smooth weighted round robin, least_conn, random two, passive
// health checks; NGINX 1.31's least_time; beside them a per-request rival, peak-EWMA two choices) and the request goes
// there at once. A server serves up to its number of slots at a time, first come first served over all groups that
// share it; a service time is lognormal with the mean of the workload and the coefficient of variation of the server;
// a full queue answers 503 at once. The response travels network_delay. Faults change a server at given times.
//
// Statistics count when a response is complete, in whole milliseconds as NGINX's clock ticks: what is still waiting
// shows in no counter. An attempt whose client gave up counts as 4xx (499) with 0 ms of response time and the whole
// request's time, as nginx-module-vts counts it: a server that hangs looks like the fastest. The client's view is kept
// beside them: the true latency of every request from the moment it was due, with requests that fail, and with those
// still unanswered at the end waited for.
//
// The same seed gives the same arrivals and the same size of the n-th request of a load whatever the policy does
// (common random numbers), so that differences between policies are differences of the policies.
//
//	s, err := sim.New(scenario, sim.Options{Seed: 1})
//	for !s.Done() {
//		sample, err := s.Step()        // one control interval; sample is what the poller would report
//		s.SetWeights(weights)
//	}
//	result := s.Finish()
//
// # What it leaves out
//
// Processor time of NGINX and of the network stack (Options.Overhead adds a constant), proxy timeouts, and several
// workers without a shared zone, which would each balance on their own.
package sim
