// Package plan works out weights for a Problem: what is believed of the servers of a pool, what is asked of them, how the groups are
// balanced, and what a late or failed request costs. Everything is a value: the same problem gives the same plan.
//
// Under round robin the shares are those of the weights, and Solve finds those that cost least. Under least_conn and least_time NGINX
// itself follows the queues, weights say how much each server can take, and those in proportion to capacity are the plan
// (Proportional). Flow says which shares follow from weights under each method, Cost what shares cost.
//
// The package knows neither NGINX nor what was in force before; whether a plan is worth a change is for package gate.
package plan
