// Package plan works out weights for a Problem: what is believed of the servers of a pool, what is asked of them, how
// the groups are balanced, and what a late or failed request costs. Everything is a value: the same problem gives the
// same plan.
//
// The plan is the shares of requests that cost least (Solve), averaged over the numbers of slots that servers may have
// and over the loads that may come. Under round robin the weights are those shares. Under least_conn and least_time
// NGINX follows the queues by itself, and the same shares say what each server is good for: as weights they are within
// 2 % of the best that is known.
//
// The package knows neither NGINX nor what was in force before; whether a plan is worth a change is for package gate.
package plan
