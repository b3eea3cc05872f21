package nginx

import (
	"fmt"
	"slices"
	"strings"
)

// What the directives of an upstream block mean for weights. Names that stand in none of these lists belong to
// modules that nobody here knows, and count as a method: whether weights mean anything to it is not known.
var (
	// settings are directives that choose no method.
	settings = nameSet("server", "zone", "keepalive", "keepalive_requests", "keepalive_time", "keepalive_timeout",
		"ntlm", "queue", "resolver", "resolver_timeout", "sticky_no_cookie", "sticky_hide_cookie",
		"session_sticky_hide_cookie", "server_init_weight", "slow_start", "max_conns", "allow_non_server",
		"check", "check_http_send", "check_http_expect_alive", "check_keepalive_requests", "check_fastcgi_param",
		"check_shm_size", "health_check", "healthcheck_enabled", "healthcheck_delay", "healthcheck_timeout",
		"healthcheck_failcount", "upsync_dump_path", "upsync_lb", "upsync_timeout", "upsync_interval", "server_name")

	// movers are methods by which a client or key belongs to a server: with other weights, some go to another one.
	movers = nameSet("ip_hash", "hash", "url_hash", "consistent_hash", "chash", "session_sticky", "sticky",
		"sticky_cookie", "jvm_route")

	// feeders are directives that fill or renew the list of servers from elsewhere, after NGINX has read its files.
	feeders = nameSet("upsync", "dynamic_resolve", "jdomain", "dyups", "dynamic_upstream", "consul", "zone_sync",
		"state",
		"dyups_interface", "upstream_conf", "nacos_subscribe_service")

	// luaBalancers are methods of the Lua module.
	luaBalancers = nameSet("balancer_by_lua_block", "balancer_by_lua_file")

	// weighted are methods that look at weights at every pick, as round robin does.
	weighted = nameSet("round_robin", "least_conn", "random", "least_time", "fair", "least_sess", "ewma", "vnswrr",
		"iwrr")
)

func nameSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// directive takes in a directive of the upstream block other than server and zone.
func (u *Upstream) directive(name string, args []string) {
	switch {
	case feeders[name]:
		u.Sources = append(u.Sources, name)
	case settings[name]:
	case movers[name], luaBalancers[name], weighted[name], u.Method == "round_robin":
		u.Method, u.MethodArgs = name, args
	}
}

// MethodText is the method with its arguments, and where the servers come from.
func (u *Upstream) MethodText() string {
	text := strings.Join(append([]string{u.Method}, u.MethodArgs...), " ")
	if len(u.Sources) > 0 {
		text += ", servers by " + strings.Join(u.Sources, ", ")
	}
	return text
}

// Note says what an operator should know of changing weights in this upstream; empty when there is nothing.
func (u *Upstream) Note() string {
	if len(u.Sources) > 0 {
		return fmt.Sprintf("upstream %q has its servers from elsewhere (%s): what it sets later overrides weights "+
			"in the file",
			u.Name, strings.Join(u.Sources, ", "))
	}
	switch {
	case movers[u.Method]:
		return fmt.Sprintf("upstream %q uses %s: new weights move clients to other servers", u.Name, u.Method)
	case luaBalancers[u.Method]:
		return fmt.Sprintf("upstream %q uses %s: whether weights count is up to that code", u.Name, u.Method)
	case !weighted[u.Method]:
		return fmt.Sprintf("upstream %q uses %s, which Trimtab does not know: whether weights count is up to "+
			"that module",
			u.Name, u.Method)
	}
	return ""
}

// ages says what is wrong with least_time's inflight where several workers share a zone, as measured on NGINX 1.31;
// empty when nothing is. A worker takes the age of another one's request by its own clock, which may be behind: then
// the age wraps to 2^64 ms.
func (u *Upstream) ages(workers string) string {
	if u.Method != "least_time" || !slices.Contains(u.MethodArgs, "inflight") || u.Zone == "" || workers == "" ||
		workers == "1" {
		return ""
	}
	return fmt.Sprintf("upstream %q uses %s, and %s workers share its zone: on NGINX 1.31 the age of a request can "+
		"wrap to 2^64 ms there, and its server is shunned; leave out inflight, or run one worker",
		u.Name, strings.Join(append([]string{u.Method}, u.MethodArgs...), " "), workers)
}
