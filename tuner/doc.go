// Package tuner decides upstream weights: the objective, the latency model, the proposals, the per-regime Q-learner,
// the safety gate and the control loop. It knows neither how the status is fetched nor how weights reach NGINX: a
// Source gives samples, a Policy decides, an Actuator applies.
//
//	policy, err := tuner.New(tuner.Config{Groups: map[string]tuner.GroupConfig{"api": {Method: tuner.LeastConn}}})
//	loop := tuner.NewLoop(source, policy, actuator)
//	for range ticker.C {
//		outcome, err := loop.Step(ctx) // one interval: sample, decide, apply
//	}
//	fmt.Print(policy.Explain().Text())
//
// Objective: for a group with deadline d the tardiness of an answer after t is max(0, (t−d)/d), that of a failed
// request Config.ErrorTardiness; the tuner minimises their sum per request and a small share of the mean response
// time.
//
// Model: every server is a station with c slots and a service time s_g per group, L_g = s_g + W(ρ, c) by Sakasegawa's
// approximation of G/G/c; all likely c are carried along by their probability (station.go). Arrivals under round
// robin follow from the weights, so that completions below arrivals show a server's capacity at once (backlog.go).
//
// Decision: groups that share servers form a pool, decided as a whole. Each interval several proposals (proposal.go),
// whole weight vectors, are scored by the model and by what each earned in this load regime (learner.go), and the
// gate lets a change through only when it pays (gate.go, decide.go). Every hold and every change has a reason, named
// Bounds included, in Explain.
//
// Equal, Random, L3 and Grid are the policies that Tuner is compared with.
//
// The package does not predict load, does not start NGINX, and never removes a server from a configuration.
package tuner
