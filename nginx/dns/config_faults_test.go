package dns_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/nginx/dns"
)

func TestConfigurationsThatWouldNotGoByWhatTheyAreTold(t *testing.T) {
	const good = "zone app 64k; resolver 127.0.0.1:5653 ipv6=off; server app.trimtab service=http resolve;"
	for _, c := range []struct {
		name, http, upstream string
		server               string
		confirm              time.Duration
		why                  string // empty: nothing is wrong
	}{
		{"as it is installed", "", good, "", 0, ""},
		{"weight= beside resolve", "", strings.Replace(good, "resolve;", "resolve weight=3;", 1), "", 0,
			"weight=3 stands beside resolve"},
		{"weight=1 means nothing", "", strings.Replace(good, "resolve;", "resolve weight=1;", 1), "", 0, ""},
		{"somebody else's resolver", "", strings.Replace(good, "127.0.0.1:5653", "8.8.8.8", 1), "", 0,
			"its resolver is 8.8.8.8, which is not Trimtab's"},
		{"a resolver on Trimtab's address, but its port is not", "", strings.Replace(good, ":5653", "", 1), "", 0,
			"its resolver is 127.0.0.1, which is not"},
		{"two resolvers", "", strings.Replace(good, "ipv6=off", "10.0.0.53", 1), "", 0, "asks 10.0.0.53 as well"},
		{"the resolver of the http block is somebody else's", "resolver 10.0.0.53;",
			strings.Replace(good, "resolver 127.0.0.1:5653 ipv6=off;", "", 1), "", 0, "its resolver is 10.0.0.53"},
		{"the resolver of the http block is Trimtab's", "resolver 127.0.0.1:5653;",
			strings.Replace(good, "resolver 127.0.0.1:5653 ipv6=off;", "", 1), "", 0, ""},
		{"no resolver", "", strings.Replace(good, "resolver 127.0.0.1:5653 ipv6=off;", "", 1), "", 0,
			"no resolver is set"},
		{"valid= of half a minute", "", strings.Replace(good, "ipv6=off", "ipv6=off valid=30s", 1), "", 0,
			"valid=30s at the resolver overrides"},
		{"valid= of a day", "", strings.Replace(good, "ipv6=off", "valid=1d", 1), "", 0, "up to 24h0m0s"},
		{"valid= that is waited for", "", strings.Replace(good, "ipv6=off", "valid=5s", 1), "", 5 * time.Second, ""},
		{"valid= of a second", "", strings.Replace(good, "ipv6=off", "valid=1", 1), "", 0, ""},
		{"no zone", "", strings.Replace(good, "zone app 64k;", "", 1), "", 0, "want zone app 64k"},
		{"a name that is not answered", "", strings.Replace(good, "app.trimtab", "web.trimtab", 1), "", 0,
			"want server app.trimtab service=http resolve"},
		{"another service", "", strings.Replace(good, "service=http", "service=web", 1), "", 0,
			"asks for \"web\" of a name that is not answered"},
		{"IPv6 servers that are not asked for", "", good, "[2001:db8::1]:80", 0, "leave ipv6=off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configOf(t, "http { "+c.http+" upstream app { "+c.upstream+" server 10.0.0.1 backup; } }")
			server := c.server
			if server == "" {
				server = "10.0.0.1:80"
			}
			got := dns.Faults(cfg, cfg.Upstreams[0], "127.0.0.1:5653", "trimtab", []dns.Peer{{Address: server,
				Weight: 1}}, c.confirm)
			found := slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, c.why) })
			if (c.why == "") != (len(got) == 0) || c.why != "" && !found {
				t.Errorf("got %q, want %q", got, c.why)
			}
		})
	}
	t.Run("a zone that is too small, with the size that fits", func(t *testing.T) {
		cfg := configOf(t, "http { upstream app { "+good+" } }")
		if got := dns.Small(cfg.Upstreams[0], 60); !strings.Contains(got, "make it 384k") {
			t.Errorf("got %q", got)
		}
	})
}
