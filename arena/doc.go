// Package arena runs policies over scenarios, in the discrete-event twin or on the real testbed, scores them in the
// same units and draws the result. It is the referee for every claim about weights, and the training ground for
// whoever wants to make better ones (Env, Server).
//
// A cell is one scenario, one policy, one seed. The cells of one scenario and one seed form a block: they see the same
// arrivals and the same sizes of requests, so that policies are compared by paired differences. Within a block the
// oracle and the equal weights come first, because regret and convergence are measured against them.
//
//	report, err := arena.Play(ctx, arena.Config{
//		Scenarios: scenarios,
//		Policies:  policies, // arena.ParsePolicies("equal,least_conn/equal,tuned", …)
//		Seeds:     []uint64{1, 2, 3, 4, 5},
//		OnRow:     func(r arena.Row) error { return json.NewEncoder(os.Stdout).Encode(r) },
//	})
//
// Scores come from the client's true latencies, counted from the moment a request was due; what policies see are the
// statistics of the status page. ART per request is Σ max(0, (t − d)/d) over all requests divided by their number,
// with 10 for a failed one, d being the deadline of the group.
package arena
