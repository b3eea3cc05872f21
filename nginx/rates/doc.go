// Package rates is admission without Lua: it refuses what a limit_req_zone of the operator's refuses, by the digits of
// its rate. They are edited as carefully as weights (package nginx): tested, written in one step, reloaded, confirmed
// or put back.
//
//	a := &rates.Admission{Applier: applier, Zones: map[string]string{"backend": "backend_limit"}, Offered: offered}
//	err := a.Admit(ctx, map[string]float64{"backend": 0.2}) // lets 80 % of what is offered in
//
// A rate is never above the one that the operator wrote: his limit is his. It is remembered in a file of the state
// folder, so that Release finds it after a crash; an operator who edits the digits wins, and what he wrote is the base
// from then on.
//
// What NGINX answers to who is refused is the operator's limit_req_status. The package does not count refused requests.
package rates
