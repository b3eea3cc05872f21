// Package vtstest serves status pages as nginx-module-vts of several ages would, for a load that is only pretended on
// an NGINX that is real: the servers and weights are those of the configuration that NGINX runs, read anew whenever it
// has new workers. So tests see how the daemon deals with servers that hang, shed load, heal, are removed and come
// back, without waiting for real requests, and with the counters of a module that is not packaged.
//
// Requests arrive as a Poisson process and are given to the servers by smooth weighted round robin, as NGINX does.
// Time is the clock's: everything that is due since the last page is played when the next one is asked for.
//
// Of the module only what FACTS of its source say is modelled: what an attempt without an answer counts as, which keys
// a version has, and which servers it lists. Serve the page through NGINX itself (proxy_pass), or it is another
// program's.
package vtstest
