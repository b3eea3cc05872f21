// Package testbed is the real world in small: the emulated social network of a scenario behind a private NGINX, load
// through it, the status page polled, weights written into its nginx.conf. `trimtab run`, `trimtab testbed` and the
// arena's testbed world start it.
//
// Everything it writes stays under one directory, everything it starts listens on loopback and ends with Stop.
package testbed
