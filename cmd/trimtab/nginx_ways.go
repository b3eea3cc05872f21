package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
)

// checkWays says which ways of changing weights this NGINX has, the best first.
func checkWays(ctx context.Context, a *nginx.Applier, f nginxFlags) []finding {
	cfg, err := nginx.ReadConfig(a.Config)
	if err != nil {
		return nil // said before
	}
	v, err := instance.VersionOf(ctx, f.binary)
	if err != nil {
		return []finding{{Check: "ways", OK: true, Skipped: true, Detail: "not known: " + err.Error()}}
	}
	version := fmt.Sprintf("NGINX %d.%d.%d", v[0], v[1], v[2])
	var ways []string
	if slices.Compare(v[:], dns.FirstVersion[:]) >= 0 {
		switch in, err := dns.Plan(ctx, cfg, dns.InstallOptions{}); {
		case err != nil:
			ways = append(ways, "dns is not possible: "+strings.TrimPrefix(err.Error(), "refused: "))
		case len(in.State) == 0:
			ways = append(ways, "dns is in use")
		default:
			ways = append(ways, "dns is recommended: no reload, no module (trimtab nginx dns install"+f.asGiven()+")")
		}
	}
	if slices.Compare(v[:], []int{1, 22, 0}) >= 0 && slices.Compare(v[:], []int{1, 31, 5}) <= 0 {
		_, missing := instance.LuaModules()
		switch _, err := live.Plan(cfg, live.InstallOptions{}); {
		case errors.Is(missing, instance.ErrMissing):
			ways = append(ways, "live would be possible with NGINX's Lua module")
		case err == nil:
			ways = append(ways, "live is possible: no reload, with the Lua module (trimtab nginx live install"+
				configAsGiven(f)+")")
		}
	}
	ways = append(ways, "reload is always possible")
	return append(dnsFaults(cfg), finding{Check: "ways", OK: true, Detail: version + ": " + strings.Join(ways, "; ")})
}

// configAsGiven is the flag of commands that only know the configuration.
func configAsGiven(f nginxFlags) string {
	f = nginxFlags{config: f.config}
	return f.asGiven()
}

// dnsFaults are what keeps upstreams that take their servers from Trimtab from going by what they are told.
func dnsFaults(cfg *nginx.Config) (out []finding) {
	for _, u := range cfg.Upstreams {
		if !dns.Installed(u, dns.DefaultZone) && !dns.Misspelt(u, dns.DefaultZone) {
			continue
		}
		for _, fault := range dns.Faults(cfg, u, listenOf(u), dns.DefaultZone, nil, time.Second) {
			out = append(out, finding{Check: "dns", Detail: fault})
		}
	}
	return out
}

// listenOf is where an upstream asks on loopback, which is taken to be Trimtab: check is not told where the daemon
// listens.
func listenOf(u *nginx.Upstream) string {
	for _, word := range u.Resolver {
		if a, err := netip.ParseAddrPort(word); err == nil && a.Addr().IsLoopback() {
			return word
		}
	}
	return dns.DefaultListen
}
