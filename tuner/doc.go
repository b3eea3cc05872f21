// Package tuner decides upstream weights. It is a control.Policy of three verbs: Observe learns from an interval and
// works out what is wanted, Choose says it, and Committed tells that it was applied and confirmed; nothing else spends
// budget or moves the ledger.
//
//	policy, err := tuner.New(tuner.Config{Groups: map[string]tuner.GroupConfig{"api": {Method: tuner.LeastConn}}})
//	loop := control.NewLoop(source, policy, actuator)
//	for range ticker.C {
//		outcome, err := loop.Step(ctx) // one interval: sample, observe, choose, apply
//	}
//	fmt.Print(policy.Explain().Reason)
//
// Groups that share servers form a pool, decided as a whole. Every interval runs through these, each a package that
// knows values only:
//
//	estimate  what servers are: slots and service times, from completions and response times
//	load      what load there is: rates, regimes, which regime comes next
//	plan      the shares that cost least for the present load and those that may come
//	learn     what experience in the regime says about how far to trust it
//	gate      whether a change pays, has lasted, and can be afforded
//
// What a change is expected to bring is played by deathstarbench/twin. The formulas of queues are in queueing, all
// tuned numbers in params; docs/model.md and docs/control.md explain them. The formula of waiting times is
// queueing/wait.go, the test of whether a server has changed estimate/shift.go, the price of a change of weights
// gate/price.go.
//
// The package does not fetch the status page, does not know how weights reach NGINX, and never removes a server from a
// configuration.
package tuner
