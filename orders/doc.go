// Package orders holds what an operator wants of single servers, above whatever a tuner thinks: a fixed share of the
// requests (Pin, a canary), none any more (Drain), a slow start, or limits of the share. Orders are a small file,
// bounded in time where a time is given, and outlive restarts.
//
// Shape turns weights and orders into weights, and has no side effect:
//
//	shares: s_i = w_i / Σw over the servers that take requests
//	drained servers get nothing; a ramp multiplies s_i by what has passed of its time;
//	pinned servers get their share, the others divide the rest in proportion, within their limits.
//
// It knows nothing of NGINX and sets nothing.
package orders
