// Package helper parts what needs root from what reads the network. A worker, which runs as a user of its own, takes
// the telemetry, learns and decides; the helper, which is root, reads and exchanges configuration files, runs nginx -t
// and signals NGINX's master. They talk over a socket that the worker inherits, and over nothing else.
//
// The helper takes few requests: what stands in the configuration of the upstreams that may be changed; change these
// weights of these upstreams; undo what a crash has left; end; and where [objective] says so, refuse these shares of
// these upstreams' requests by the operator's limit_req_zones, and have these servers have so many units by the
// operator's program. It never takes a path, a command, a program or a process number, and it asks nobody but NGINX and
// the worker. Bounds, cool-downs and the largest share are those of the configuration, which the helper reads itself;
// when the worker is gone the operator's rates are put back. Everything is a frame of a length and one JSON object
// without unknown keys, at most MaxFrame long; the first frame that is anything else ends the helper, which leaves
// NGINX as it is.
//
// One thing the helper cannot know by itself without reading the network: what the status page shows, by which a change
// is confirmed. It asks the worker, while the worker waits for its answer. A worker that lies can have a change taken
// for confirmed that is not; that NGINX took the configuration is still seen from its processes, and weights outside 1
// to 100, of other upstreams, or faster than the budget are refused whatever the worker says. One that lies about what
// upstreams are offered makes a rate smaller than its share says, down to 1 per second, where the operator has allowed
// admission by rate.
//
// The package does not decide anything, and it does not start the worker's program: see Start and Inherited for the
// socket, Confine for what the worker gives up.
package helper
