// Package live changes upstream weights in a running NGINX without a reload. NGINX's own balancers go on picking; Lua
// code (package nginx/lua) writes the weights into the shared memory of the upstream's zone, where they look for every
// pick. One authenticated HTTP call over loopback or a Unix socket changes them for the next request of every worker.
// No connection is closed and no request lost; the weights survive reloads, and a restart returns to those of the file.
//
//	a, err := live.New(live.Config{Address: "127.0.0.1:9147", TokenFile: "/etc/nginx/trimtab/token"})
//	receipt, err := a.Apply(ctx, nginx.Settings{"backend": {"10.0.0.1:80": {Weight: 3}, "10.0.0.2:80": {Weight: 5}}})
//
// Servers and all their other parameters stay in NGINX's configuration. An operator who edits a server or a weight
// there and reloads wins: the weights set before are void then.
//
// The package writes nothing into the operator's files: Plan says which lines belong where.
package live
