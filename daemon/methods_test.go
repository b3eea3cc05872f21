package daemon

import (
	"fmt"
	"os"
	"testing"
	"time"

	"trimtab/tuner"
)

func TestMethodsAreThoseOfNGINX(t *testing.T) {
	for _, c := range []struct {
		name, directive, toml string
		want                  tuner.Method // "": the tuner's default, round robin
	}{
		{"no directive is round robin", "", "", ""},
		{"least connections", "least_conn;", "", tuner.LeastConn},
		{"least time", "least_time header inflight;", "", tuner.LeastTime},
		{"a method that sticks clients to servers is planned for as round robin", "ip_hash;", "", ""},
		{"what trimtab.toml says wins", "least_conn;", "[[upstream]]\nname = \"app\"\nmethod = \"round_robin\"\n",
			tuner.RoundRobin},
		{"trimtab.toml that says something else of the upstream", "least_conn;",
			"[[upstream]]\nname = \"app\"\ndeadline = \"60ms\"\n", tuner.LeastConn},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, log, _ := testService(t, func(cfg *Config) {
				own, err := ParseConfig("trimtab.toml", c.toml)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Upstream = own.Upstream
				conf := fmt.Sprintf("events {}\nhttp { upstream app { %s server 127.0.0.1:9001; server "+
					"127.0.0.1:9002; } }\n", c.directive)
				if err := os.WriteFile(cfg.Nginx.Config, []byte(conf), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			before := d.session.policy
			d.followMethods(d.session)
			if got := d.session.cfg.tunerConfig().Groups["app"].Method; got != c.want {
				t.Errorf("got method %q, want %q", got, c.want)
			}
			if changed := d.session.policy != before; changed != c.want.LoadAware() {
				t.Errorf("another policy: got %t, want %t: %s", changed, c.want.LoadAware(), log)
			}
		})
	}
}

// An edit of the method is followed, and what was learned stays.
func TestAnEditOfTheMethodIsFollowed(t *testing.T) {
	d, log, _ := testService(t, nil)
	d.followMethods(d.session)
	page := &steadyPage{began: time.Unix(900, 0), failing: func(time.Duration) bool { return false }}
	for range 3 {
		sample := steadySample(t, page, 3*time.Second)
		d.session.policy.Observe(sample, nil)
	}
	conf := "events {}\nhttp { upstream app { least_conn; server 127.0.0.1:9001; server 127.0.0.1:9002; } }\n"
	if err := os.WriteFile(d.session.cfg.Nginx.Config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	d.session.look()
	d.followMethods(d.session)
	if got := d.session.cfg.tunerConfig().Groups["app"].Method; got != tuner.LeastConn {
		t.Fatalf("got method %q, want least_conn: %s", got, log)
	}
	snapshot, err := snapshotOf(d.session.policy)
	if err != nil || !knowsServers(snapshot) {
		t.Errorf("got %s, %v, want what was learned before: %s", snapshot, err, log)
	}
}
