package nginx

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMethodsAreShownByTheirNames(t *testing.T) {
	for _, c := range []struct{ name, upstream, text, note string }{
		{"none", "server 10.0.0.1;", "round_robin", ""},
		{"least_time with what it measures", "least_time header inflight; server 10.0.0.1;",
			"least_time header inflight", ""},
		{"random by least_time", "random two least_time=last_byte; server 10.0.0.1;",
			"random two least_time=last_byte", ""},
		{"a hash", "hash $uri consistent; server 10.0.0.1;", "hash $uri consistent", "move clients"},
		{"another module's hash", "consistent_hash $request_uri; server 10.0.0.1;", "consistent_hash $request_uri",
			"move clients"},
		{"sticky sessions", "session_sticky cookie=s; server 10.0.0.1;", "session_sticky cookie=s", "move clients"},
		{"sessions by route", "jvm_route $cookie_JSESSIONID; server 10.0.0.1;", "jvm_route $cookie_JSESSIONID",
			"move clients"},
		{"servers from Consul", "upsync 127.0.0.1:8500/v1/kv/app; least_conn; server 10.0.0.1;",
			"least_conn, servers by upsync", "from elsewhere"},
		{"servers resolved by a module", "dynamic_resolve fail_timeout=30s; server web.example;",
			"round_robin, servers by dynamic_resolve", "from elsewhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseText([]byte("http { upstream web { " + c.upstream + " } }"))
			if err != nil {
				t.Fatal(err)
			}
			u := cfg.Upstreams[0]
			if got := u.MethodText(); got != c.text {
				t.Errorf("got %q, want %q", got, c.text)
			}
			if got := u.Note(); !strings.Contains(got, c.note) || (c.note == "") != (got == "") {
				t.Errorf("got note %q, want %q", got, c.note)
			}
		})
	}
}

func TestInflightOfSeveralWorkersIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		name, main, upstream string
		warned               bool
	}{
		{"several workers on one zone", "worker_processes 4;", "least_time header inflight; zone z 1m;", true},
		{"as many as there are processors", "worker_processes auto;", "least_time last_byte inflight; zone z 1m;",
			true},
		{"one worker", "worker_processes 1;", "least_time header inflight; zone z 1m;", false},
		{"no directive is one worker", "", "least_time header inflight; zone z 1m;", false},
		{"no zone: every worker knows its own requests only", "worker_processes 4;", "least_time header inflight;",
			false},
		{"without inflight", "worker_processes 4;", "least_time header; zone z 1m;", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseText([]byte(c.main + " http { upstream web { " + c.upstream + " server 10.0.0.1; } }"))
			if err != nil {
				t.Fatal(err)
			}
			warned := slices.ContainsFunc(cfg.Notes(), func(n string) bool {
				return strings.Contains(n, "wrap to 2^64 ms")
			})
			if warned != c.warned {
				t.Errorf("got %q, want a warning: %t", cfg.Notes(), c.warned)
			}
		})
	}
}

func TestWhatIsRefusedOrSaid(t *testing.T) {
	set := func(server string, weight int) Settings { return Settings{"web": {server: {Weight: weight}}} }
	for _, c := range []struct {
		name, text string
		want       Settings
		refusal    string
		note       string
	}{
		{"a file that another includes", "upstream web { server 10.0.0.1; }", set("10.0.0.1:80", 2),
			"is a file that another one includes", ""},
		{"a server twice", "http { upstream web { server 10.0.0.1:80; server 10.0.0.1; server 10.0.0.2; } }",
			set("10.0.0.1:80", 2), "twice", ""},
		{"a single server", "http { upstream web { server 10.0.0.1; } }", set("10.0.0.1:80", 5), "",
			"5 stays 1"},
		{"a common factor", "http { upstream web { server 10.0.0.1; server 10.0.0.2; } }",
			Settings{"web": {"10.0.0.1:80": {Weight: 2}, "10.0.0.2:80": {Weight: 4}}}, "", "2:4 is written as 1:2"},
		{"an upstream by DNS",
			"http { upstream web { zone w 1m; server web.trimtab service=http resolve; server 10.0.0.1 backup; } }",
			set("10.0.0.1:80", 5), "trimtab nginx dns set", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseText([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := cfg.Plan(c.want, PlanOptions{})
			refusal := (*Refusal)(nil)
			if c.refusal != "" {
				if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.refusal) {
					t.Fatalf("got %v, want a refusal with %q", err, c.refusal)
				}
				return
			}
			if err != nil || !slices.ContainsFunc(plan.Notes, func(n string) bool {
				return strings.Contains(n,
					c.note)
			}) {
				t.Errorf("got %+v, %v, want a note with %q", plan, err, c.note)
			}
		})
	}
	cfg,
		err := parseText([]byte("http { upstream web { server 10.0.0.1:80; server 10.0.0.1; server 10.0.0.2; } }"))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Editable("web"); err == nil || !strings.Contains(err.Error(), "has server 10.0.0.1:80 twice") {
		t.Errorf("Editable: got %v, want what a change would be refused for", err)
	}
}

func TestAddressesAreThoseThatNGINXPrints(t *testing.T) {
	for written, want := range map[string]string{
		"[::1:2]:80": "[::0.1.0.2]:80", "[::1]:80": "[::1]:80", "[::2:3]": "[::0.2.0.3]:80", "[::]:80": "[::]:80",
		"[::ffff]:80":          "[::0.0.255.255]:80",
		"[::ffff:10.0.0.1]:80": "[::ffff:10.0.0.1]:80", "[2001:db8::1]:80": "[2001:db8::1]:80",
		"[1::2]:80": "[1::2]:80", "10.0.0.1": "10.0.0.1:80",
	} {
		if got := printedAddress(written, "http"); got != want {
			t.Errorf("%s: got %s, want %s", written, got, want)
		}
	}
}

// Servers that are written by name are those that the page shows and nobody else is.
func TestServersByName(t *testing.T) {
	page := func(servers ...string) Status {
		s := Status{Upstreams: map[string][]PeerStatus{}}
		for _, server := range servers {
			s.Upstreams["web"] = append(s.Upstreams["web"], PeerStatus{Server: server, Weight: 1})
		}
		return s
	}
	for _, c := range []struct {
		name, upstream string
		page           Status
		want           Settings
		err            string
		diff           string
	}{
		{"one name, one address", "server web.example; server 10.0.0.2;", page("10.0.0.1:80", "10.0.0.2:80"),
			Settings{"web": {"10.0.0.1:80": {Weight: 3}, "10.0.0.2:80": {Weight: 2}}}, "",
			"server web.example weight=3; server 10.0.0.2 weight=2;"},
		{"the same by its name", "server web.example; server 10.0.0.2;", page("10.0.0.1:80", "10.0.0.2:80"),
			Settings{"web": {"web.example": {Weight: 3}}}, "", "server web.example weight=3;"},
		{"two addresses with one weight, dual stack", "server web.example weight=2; server 10.0.0.2;",
			page("10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.2:80"),
			Settings{"web": {"10.0.0.1:80": {Weight: 5}, "[2001:db8::1]:80": {Weight: 5},
				"10.0.0.2:80": {Weight: 3}}}, "", "web.example weight=5;"},
		{"two addresses with two weights", "server web.example; server 10.0.0.2;", page("10.0.0.1:80", "10.0.0.3:80",
			"10.0.0.2:80"),
			Settings{"web": {"10.0.0.1:80": {Weight: 5}, "10.0.0.3:80": {Weight: 3}}},
			"share the one weight of their line", ""},
		{"a name that nobody resolves", "server web.example; server 10.0.0.2;", page("10.0.0.2:80"),
			Settings{"web": {"10.0.0.2:80": {Weight: 5}}}, "shows no address for server web.example", ""},
		{"two names and an address that could be either's", "server a.invalid; server b.invalid;",
			page("10.0.0.1:80"), Settings{"web": {"10.0.0.1:80": {Weight: 5}}},
			"could belong to 0 of its 2 host names", ""},
		{"two names, one known here", "server localhost:81; server 10.0.0.2; server a.invalid;", page("127.0.0.1:81",
			"10.0.0.2:80"), Settings{"web": {"127.0.0.1:81": {Weight: 5}}}, "shows no address for server a.invalid",
			""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := parseText([]byte("http { upstream web { " + c.upstream + " } }"))
			if err != nil {
				t.Fatal(err)
			}
			err = cfg.Resolve(t.Context(), c.page, "web")
			var plan *Plan
			if err == nil {
				plan, err = cfg.Plan(c.want, PlanOptions{})
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := cfg.MatchPeers(c.page, "web"); err != nil {
				t.Errorf("match: %v", err)
			}
			if got := string(plan.Files[0].Apply()); !strings.Contains(got, c.diff) {
				t.Errorf("got %s, want %q", got, c.diff)
			}
		})
	}
}
