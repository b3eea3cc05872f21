package nginx

import (
	"fmt"
	"slices"
	"strings"
)

// balancers are the directives that choose the method of an upstream: NGINX's own, and those of other modules.
var balancers = map[string]bool{
	"least_conn": true, "ip_hash": true, "hash": true, "random": true, "least_time": true, "sticky": true,
	"fair": true, "sticky_cookie": true, "least_sess": true, "ewma": true, "balancer_by_lua_block": true,
	"balancer_by_lua_file": true,
	"consistent_hash":      true, "chash": true, "hash_again": true, "session_sticky": true, "jvm_route": true,
	"vnswrr": true, "iwrr": true,
	"upstream_jdomain": true, "peak_ewma": true, "p2c": true,
}

// movesClients are the methods that send a client to the server that it had before: new weights send some elsewhere.
var movesClients = map[string]bool{
	"ip_hash": true, "hash": true, "sticky": true, "sticky_cookie": true, "consistent_hash": true, "chash": true,
	"session_sticky": true, "jvm_route": true,
}

// sources are the directives of other modules by which an upstream's servers, and often their weights, come from elsewhere.
var sources = map[string]bool{
	"upsync": true, "upsync_dump_path": false, "dyups_interface": true, "dynamic_resolve": true, "jdomain": true,
	"consul":                  true,
	"nacos_subscribe_service": true, "upstream_conf": true, "state": true,
}

// MethodText is the method with its arguments, and where the servers come from.
func (u *Upstream) MethodText() string {
	text := strings.Join(append([]string{u.Method}, u.MethodArgs...), " ")
	if len(u.Sources) > 0 {
		text += ", servers by " + strings.Join(u.Sources, ", ")
	}
	return text
}

// Note says what an operator should know before the weights of the upstream change; empty when there is nothing.
func (u *Upstream) Note() string {
	var notes []string
	switch {
	case movesClients[u.Method]:
		notes = append(notes, fmt.Sprintf("upstream %q uses %s: new weights move clients to other servers", u.Name,
			u.Method))
	case strings.HasPrefix(u.Method, "balancer_by_lua"):
		notes = append(notes, fmt.Sprintf("upstream %q uses %s: whether weights count is up to that code", u.Name,
			u.Method))
	case !slices.Contains([]string{"round_robin", "least_conn", "random", "least_time"}, u.Method):
		notes = append(notes,
			fmt.Sprintf("upstream %q uses %s of another module: whether and how weights count is up to that module",
				u.Name, u.Method))
	}
	if len(u.Sources) > 0 {
		notes = append(notes,
			fmt.Sprintf("upstream %q: its servers come from elsewhere (%s), which may bring weights of its own",
				u.Name, strings.Join(u.Sources, ", ")))
	}
	return strings.Join(notes, "; ")
}
