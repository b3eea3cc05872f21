// Package objective says how good an interval was, and how good a plan is predicted to be.
//
// Tardiness, the objective of Trimtab: for a group with deadline d that of an answer after t is max(0, (t−d)/d), that
// of a failed request a fixed number of deadlines. Their sum over an interval is the accumulated relative tardiness,
// ART; per request it is what policies minimise. Measure takes it from what the status page shows of an interval;
// Tardiness predicts it for a response time of given mean and variance, assumed lognormal.
//
// Other objectives are values too, one file each: New makes an Objective from a Spec, and its Reward says what an
// Outcome is worth, measured (Observe) or predicted: delay_bound, throughput, differentiation, guarantee and cost
// beside tardiness. Adding one is adding a file, its kind to Kinds and its case to New.
//
//	o, err := objective.New(objective.Spec{Kind: "throughput", Upstreams: map[string]objective.Terms{
//		"search": {Bound: 35 * time.Millisecond, Importance: 1}, "report": {Bound: 110 * time.Millisecond, Importance: 1}}})
//	reward := o.Reward(objective.Observe(sample, o.Terms(), 0))
//
// The package knows neither how weights are chosen nor NGINX.
package objective
