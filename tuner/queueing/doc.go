// Package queueing holds the formulas of queues that the tuner goes by, one file each: the waiting time at a server of
// several slots (wait.go), how many of its slots are busy (busy.go), and what waits within a horizon when there is no
// steady state (overload.go).
//
// All times are seconds, all rates per second. The package knows neither samples nor beliefs.
package queueing
