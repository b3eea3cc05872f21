// Package requests makes what clients of the social network of DeathStarBench send: the requests of its three workloads
// as targeters of vegeta, and the calls that bring a social graph into a deployment. It is apart from package
// deathstarbench, so that who only reads scenarios or simulates them has no load generator in it.
package requests
