// Package loadgen sends open-loop load through vegeta: arrivals that keep their law far below a millisecond, and
// latencies that count from the moment a request was due.
//
// Each workload has bursts; each burst is one seeded arrival process (package arrival) that decides when requests are
// due, whatever the server does. With d_i the due time of request i, s_i the moment a worker started it and e_i the
// moment its answer was complete, the package records for every request
//
//	latency  e_i − d_i   what a user who came at d_i waited: no coordinated omission, even when all workers are busy
//	raw      e_i − s_i   what vegeta calls latency
//	lateness s_i − d_i   how late the generator itself was
//
// and flags a run as saturated, not valid as open loop, when the 99th percentile of the lateness passes a bound.
//
// An attack is built with New and driven by Run:
//
//	attack, err := loadgen.New(loadgen.Config{Workloads: []loadgen.Workload{{
//		Name:     "home",
//		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: "http://127.0.0.1:8080/"}),
//		Bursts: []loadgen.Burst{{
//			Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(500), Duration: time.Minute, Seed: 1,
//		}},
//	}}})
//	report, err := attack.Run(ctx)
//
// The package knows nothing of NGINX, of what the workloads mean, or of tuning.
package loadgen
