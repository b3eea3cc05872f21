package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"trimtab/nginx"
)

// Faults says why an upstream whose servers come by DNS would not go by what it is told, and what to write instead:
// one sentence each. listen and zone are where Trimtab answers, servers what it answers, and confirm how long beyond
// NGINX's two seconds a change may take to show. A resolver of the http block counts for upstreams without one; below
// those nothing is looked for.
func Faults(cfg *nginx.Config, u *nginx.Upstream, listen, zone string, servers []Peer, confirm time.Duration) []string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf("%s:%d: upstream %q: ", u.File.Path, u.Line, u.Name)+fmt.Sprintf(format, args...))
	}
	for _, p := range u.Peers {
		if !ours(p, u, zone) {
			if inZone(p, zone) {
				say("server %s asks for %q of a name that is not answered: want server %s service=%s resolve",
					p.Address, p.Service, Host(u.Name, zone), Service)
			}
			continue
		}
		if i := slices.IndexFunc(p.Params, func(param string) bool {
			return strings.HasPrefix(param,
				"weight=")
		}); i >= 0 && p.Weight != 1 {
			say("%s stands beside resolve, and overrides every weight that Trimtab answers: leave it out", p.Params[i])
		}
	}
	if u.Zone == "" {
		say("it has no zone, without which NGINX resolves nothing while it runs: want zone %s %dk", u.Name,
			ZoneKiB(len(servers)))
	}
	resolver := u.Resolver
	if resolver == nil {
		resolver = cfg.Resolver
	}
	v6, v4 := true, true
	asked, foreign := false, ""
	for _, word := range resolver {
		switch key, value, option := strings.Cut(word, "="); {
		case !option && sameAddress(word, listen):
			asked = true
		case !option:
			foreign = word
		case key == "ipv6":
			v6 = value != "off"
		case key == "ipv4":
			v4 = value != "off"
		case key == "valid":
			if d, ok := nginxTime(value); ok && d+time.Second > defaultValid+confirm {
				say("%s at the resolver overrides the second that Trimtab gives, so that changes take up to %s and "+
					"are taken back: leave it out", word, d)
			}
		}
	}
	switch {
	case resolver == nil:
		say("no resolver is set for it: want resolver %s", listen)
	case !asked:
		say("its resolver is %s, which is not Trimtab's: want resolver %s", foreign, listen)
	case foreign != "":
		say("it asks %s as well as Trimtab, by turns, and goes by either's answer: want resolver %s alone", foreign,
			listen)
	}
	for _, o := range servers {
		a, err := netip.ParseAddrPort(o.Address)
		if err == nil && (a.Addr().Is4() && !v4 || !a.Addr().Is4() && !v6) {
			say("its resolver does not ask for addresses such as that of server %s: leave ipv6=off and ipv4=off out",
				o.Address)
			break
		}
	}
	if short := Small(u, len(servers)); short != "" {
		out = append(out, short)
	}
	return out
}

// Misspelt reports whether an upstream is meant to take its servers by DNS, but asks for a name that is not answered.
func Misspelt(u *nginx.Upstream, zone string) bool {
	return !Installed(u, zone) && slices.ContainsFunc(u.Peers, func(p *nginx.Peer) bool { return inZone(p, zone) })
}

func inZone(p *nginx.Peer, zone string) bool {
	_, in := under(strings.ToLower(strings.TrimSuffix(p.Address, ".")), strings.TrimSuffix(zoneOf(zone), "."))
	return in
}

// Small says that the zone of an upstream has no room for so many servers, and how large it has to be; empty when it
// has.
func Small(u *nginx.Upstream, servers int) string {
	need := ZoneKiB(servers)
	if have := kib(u.ZoneSize); u.ZoneSize == "" || have >= need {
		return ""
	}
	return fmt.Sprintf("%s:%d: upstream %q: its zone of %s is small for %d servers that come and go: make it %dk",
		u.File.Path, u.Line, u.Name, u.ZoneSize, servers, need)
}

func zoneOf(zone string) string {
	if z, err := cleanZone(zone); err == nil {
		return z
	}
	return zone
}

// sameAddress reports whether a word of a resolver directive is the address: without a port it means 53.
func sameAddress(word, listen string) bool {
	want, err := netip.ParseAddrPort(listen)
	if err != nil {
		return word == listen
	}
	if a, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53) == want
	}
	a, err := netip.ParseAddrPort(word)
	return err == nil && a == want
}

// nginxTime reads a time as NGINX writes it, such as 30, 30s, 5m or 1m30s; a number alone is seconds.
func nginxTime(text string) (time.Duration, bool) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(text, "d", "h")); err == nil && d >= 0 {
		if strings.HasSuffix(text, "d") {
			d *= 24
		}
		return d, true
	}
	return 0, false
}
