// Package vts reads what nginx-module-vts (or Trimtab's own Lua shim, which serves the same page) says about the
// upstreams of an NGINX, and turns two readings into what happened between them.
//
// A Status holds cumulative counters as read. A Sample holds the differences of two of them: it is the one form in
// which the poller, the reader of stored statistics and the simulator report, and all that the regime model and
// the tuner ever see.
//
// The package does not know what is done with the samples, nor how weights are changed.
package vts
