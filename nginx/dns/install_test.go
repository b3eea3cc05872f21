package dns_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/nginx"
	"trimtab/nginx/dns"
)

func configOf(t *testing.T, text string) *nginx.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := nginx.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestInstallAndTheWayBack(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{
			"a line per server",
			"http {\n    upstream app {\n        least_conn;\n        server 10.0.0.1 weight=2 max_fails=3;\n        " +
				"server 10.0.0.2:8080 max_fails=3; # second\n        server 10.0.0.3 backup;\n        keepalive " +
				"8;\n    }\n}\n",
			`http {
    upstream app {
        least_conn;
        zone app 64k; # trimtab dns
        resolver 127.0.0.1:5653 ipv6=off; resolver_timeout 1s; # trimtab dns
        server app.trimtab service=http resolve max_fails=3; # trimtab dns
        # trimtab dns was: server 10.0.0.1 weight=2 max_fails=3;
        server 10.0.0.1 weight=2 max_fails=3 backup;
        # trimtab dns was: server 10.0.0.2:8080 max_fails=3;
        server 10.0.0.2:8080 max_fails=3 backup; # second
        server 10.0.0.3 backup;
        keepalive 8;
    }
}
`,
		},
		{
			"a zone that is there, IPv6",
			"http {\n upstream Web {\n  zone w 1m;\n  server [::1]:81;\n  server 10.0.0.2 down;\n }\n}\n",
			`http {
 upstream Web {
  zone w 1m;
  resolver 127.0.0.1:5653; resolver_timeout 1s; # trimtab dns
  server HOST service=http resolve; # trimtab dns
  # trimtab dns was: server [::1]:81;
  server [::1]:81 backup;
  # trimtab dns was: server 10.0.0.2 down;
  server 10.0.0.2 down backup;
 }
}
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configOf(t, c.before)
			in, err := dns.Plan(t.Context(), cfg, dns.InstallOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := string(in.Files[0].Apply())
			if want := strings.ReplaceAll(c.after, "HOST", dns.Host("Web", dns.DefaultZone)); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			again := configOf(t, got)
			if in, err := dns.Plan(t.Context(), again, dns.InstallOptions{}); err != nil || len(in.Files) != 0 ||
				len(in.Present) != 1 {
				t.Errorf("installed again: got %+v, %v, want nothing to do", in, err)
			}
			files, names, err := dns.PlanReset(again, "", nil)
			if err != nil || len(names) != 1 {
				t.Fatalf("way back: got %v, %v", names, err)
			}
			if got := string(files[0].Apply()); got != c.before {
				t.Errorf("way back: got\n%s\nwant\n%s", got, c.before)
			}
		})
	}
}

func TestInstallOnOneLine(t *testing.T) {
	cfg := configOf(t, "http { upstream app { server 10.0.0.1; server 10.0.0.2 weight=5; } }\n")
	in, err := dns.Plan(t.Context(), cfg, dns.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	installed := configOf(t, string(in.Files[0].Apply()))
	if u := installed.Upstreams[0]; len(u.Peers) != 3 || !dns.Installed(u, dns.DefaultZone) || u.Zone != "app" ||
		!u.Peers[2].Backup {
		t.Fatalf("got %s", in.Files[0].Apply())
	}
	files, _, err := dns.PlanReset(installed, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	back := configOf(t, string(files[0].Apply()))
	if u := back.Upstreams[0]; len(u.Peers) != 2 || u.Peers[1].Weight != 5 || u.Peers[0].Backup || u.Zone != "" {
		t.Errorf("way back: got %s", files[0].Apply())
	}
}

func TestInstallLeavesOut(t *testing.T) {
	for _, c := range []struct{ name, upstream, why string }{
		{"a method that takes no backups", "hash $uri; server 10.0.0.1;", "takes no backup servers"},
		{"another module's method", "fair; server 10.0.0.1;", "not known to take servers"},
		{"a resolver of its own", "resolver 8.8.8.8; zone a 64k; server 10.0.0.1;", "resolver of its own (8.8.8.8)"},
		{"servers that differ", "server 10.0.0.1 max_conns=5; server 10.0.0.2;", "differ in max_conns"},
		{"a Unix socket", "server unix:/run/a.sock;", "Unix socket"},
		{"a server twice", "server 10.0.0.1; server 10.0.0.1:80;", "twice"},
		{"nobody to send to", "server 10.0.0.1 down;", "no server would be left"},
		{"another service", "zone a 64k; server web.example service=x resolve;", "asks for a service already"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configOf(t, "http { upstream a { "+c.upstream+" } upstream b { server 10.0.0.9; } }")
			in, err := dns.Plan(t.Context(), cfg, dns.InstallOptions{})
			if err != nil || len(in.Skipped) != 1 || !strings.Contains(in.Skipped[0], c.why) || len(in.State) != 1 {
				t.Errorf("got %+v, %v, want a left out: %q", in, err, c.why)
			}
			if _, err := dns.Plan(t.Context(), cfg, dns.InstallOptions{Upstreams: []string{"a"}}); err == nil ||
				!strings.Contains(err.Error(), c.why) {
				t.Errorf("asked for by name: got %v, want %q", err, c.why)
			}
		})
	}
	t.Run("a zone that is too small, with the size that fits", func(t *testing.T) {
		lines := "zone a 64k;"
		for i := range 60 {
			lines += fmt.Sprintf(" server 10.0.0.%d;", i+1)
		}
		in, err := dns.Plan(t.Context(), configOf(t, "http { upstream a { "+lines+" } }"), dns.InstallOptions{})
		if err != nil || len(in.Notes) != 1 || !strings.Contains(in.Notes[0], "make it 384k") {
			t.Errorf("got %+v, %v, want a note with the size", in, err)
		}
	})
	for _, address := range []string{"0.0.0.0:53", "10.0.0.1:53", "localhost:53", "127.0.0.1"} {
		if _, err := dns.Plan(t.Context(), configOf(t, "http { upstream a { server 10.0.0.1; } }"),
			dns.InstallOptions{Listen: address}); err == nil {
			t.Errorf("listen %s: got no error, want only loopback taken", address)
		}
	}
}
