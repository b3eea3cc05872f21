package daemon

import (
	"context"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trimtab/nginx/dns"
)

// joinApp puts the servers of a steadyPage into what NGINX is told.
func joinApp(t *testing.T, cfg *Config) {
	t.Helper()
	if _, _, err := (dns.Store{Path: cfg.DNSPath()}).Update(t.Context(), func(s *dns.State) (bool, error) {
		return s.Join("app", []dns.Member{{Address: "127.0.0.1:9001", Weight: 1}, {Address: "127.0.0.1:9002", Weight: 1}})
	}); err != nil {
		t.Fatal(err)
	}
}

// Without a configuration of NGINX to watch, nothing tells the daemon that an upstream has come: it sees it by itself.
func TestAnUpstreamThatComesAfterTheStartIsTuned(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  string // the DNS state at the start; empty: there is none
		change func(*Config)
		tuned  bool
	}{
		{"its members join after the start", "", nil, true},
		{"what NGINX is told cannot be read at first", "{", nil, true},
		{"it is not among nginx.upstreams", "", func(cfg *Config) { cfg.Nginx.Upstreams = []string{"web"} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var state string
				d, log, _ := testService(t, func(cfg *Config) {
					cfg.StateDir, cfg.Nginx.Config, cfg.Actuator.Kind = t.TempDir(), "", "dns"
					state = cfg.DNSPath()
					if c.first != "" {
						if err := os.WriteFile(state, []byte(c.first), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					if c.change != nil {
						c.change(cfg)
					}
				})
				s := d.session
				p := d.poll(t, &steadyPage{began: time.Now(), failing: func(time.Duration) bool { return false }})
				if len(s.names()) != 0 || (s.unread != "") != (c.first != "") {
					t.Fatalf("at the start: got %v tuned, unread %q, want nobody", s.names(), s.unread)
				}
				step := func() (shown int, err error) {
					<-time.After(3 * time.Second)
					p.Step(t.Context())
					sample, err := s.Sample(t.Context())
					return len(sample.Groups), err
				}
				p.Step(t.Context())
				if n, err := step(); err == nil || n != 0 {
					t.Fatalf("before anybody has joined: got %d groups, %v, want an error", n, err)
				}
				if c.first != "" {
					if err := os.Remove(state); err != nil {
						t.Fatal(err)
					}
				}
				joinApp(t, s.cfg)
				n, err := step()
				if (err == nil) != c.tuned || (n == 1) != c.tuned || slices.Contains(s.names(), "app") != c.tuned ||
					s.unread != "" {
					t.Errorf("got %d groups, %v, %v tuned, unread %q, want app: %t", n, err, s.names(), s.unread, c.tuned)
				}
				if said := strings.Count(log.String(), "have changed"); (said != 0) != c.tuned {
					t.Errorf("the change is told %d times: %s", said, log)
				}
			})
		})
	}
}

// Members are asked for once the DNS server listens: before that, each attempt would be a false alarm.
func TestMembersWaitForTheDNSServer(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	page := httptest.NewServer(nil)
	page.Close() // so that joining fails, and says so
	d, log, _ := testService(t, func(cfg *Config) {
		cfg.StateDir, cfg.Nginx.Config, cfg.Status.URL = t.TempDir(), "", page.URL
		cfg.Actuator.Kind, cfg.Actuator.DNSListen = "dns", taken.Addr().String()
		cfg.Actuator.Members = []MemberConfig{{Upstream: "app", Servers: []string{"127.0.0.1:9001"}}}
	})
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	d.session.hand.(beginner).begin(ctx, d, &all)
	const joining = "the servers of an upstream stay as they are"
	until := func(what string) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), what); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("%q is not said: %s", what, log)
			}
		}
	}
	until("DNS is not answered")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	until("answering DNS")
	until(joining)
	if said := log.String(); strings.Index(said, joining) < strings.Index(said, "answering DNS") ||
		strings.Contains(said, dns.ErrSilent.Error()) {
		t.Errorf("members were asked for while nobody could answer: %s", said)
	}
}
