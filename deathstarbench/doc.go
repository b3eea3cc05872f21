// Package deathstarbench is the world under test: the three workloads of the DeathStarBench social network, its
// social graph, and scenario files that describe servers, upstream groups, load and faults for the emulated backends
// (package socialnet), the simulator (package sim) and the arena alike.
package deathstarbench
