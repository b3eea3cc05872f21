// Package estimate says what servers are: how many slots each has, how long it serves a request of each class, what it
// fails, and how sure all that is. The result is a Belief per server, a value.
//
// Model: a server has c slots; a request of class k holds one for s_k on average and waits while all are taken. Every
// number of slots of queueing.Slots is a hypothesis with its own service times. Little's law and the utilisation law
// turn what an interval shows, completions and response times, into service times under each (Server.Observe); how well
// these stay the same while the load changes, and how servers of a pool resemble each other, weigh the hypotheses
// (Believe).
//
// The package knows neither weights nor what beliefs are used for.
package estimate
