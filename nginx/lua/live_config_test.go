package lua_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// rewrite changes nginx.conf, reloads and waits until new workers have replaced the old.
func (w *world) rewrite(old, new string) {
	w.t.Helper()
	text, err := os.ReadFile(w.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		w.t.Fatalf("no %q in nginx.conf", old)
	}
	if err := os.WriteFile(w.Config, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	before := map[int]bool{}
	for _, pid := range w.workers() {
		before[pid] = true
	}
	if err := syscall.Kill(w.PID, syscall.SIGHUP); err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "new workers", func() bool {
		now := w.workers()
		for _, pid := range now {
			if before[pid] {
				return false
			}
		}
		return len(now) > 0
	})
}

func TestWeightsSurviveAReload(t *testing.T) {
	w := start(t, 2, 2, "server %s; server %s; ZONE", "")
	w.put("1 up", "3 up")
	w.rewrite("worker_connections 512", "worker_connections 256")
	if got, bad := w.get(80); bad != 0 || got[0] < 18 || got[0] > 22 {
		t.Errorf("got %v, %d bad, want about 20 and 60", got, bad)
	}
}

func TestOperatorsEditWins(t *testing.T) {
	w := start(t, 1, 2, "server %s weight=7; server %s; ZONE", "")
	w.put("1 up", "3 up")
	w.rewrite("weight=7", "weight=9")
	if got, bad := w.get(40); bad != 0 || got[0] != 36 {
		t.Errorf("got %v, %d bad, want 36 and 4, as the edited file says", got, bad)
	}
	if s := w.state().Upstreams["app"]; !s.Outdated {
		t.Errorf("got %+v, want the weights set before marked as outdated", s)
	}
	w.put("1 up", "1 up")
	if got, _ := w.get(40); got[0] != 20 {
		t.Errorf("set again: got %v, want 20 and 20", got)
	}
}

func TestServersComeFromTheFile(t *testing.T) {
	w := start(t, 1, 3, "server %s; server %s; # server %s;\n ZONE", "")
	if got, bad := w.get(30); bad != 0 || got[2] != 0 {
		t.Errorf("got %v, %d bad, want the third, in a comment, unused", got, bad)
	}
	w.rewrite("# server", "\n server")
	if got, bad := w.get(30); bad != 0 || got[0] != 10 || got[1] != 10 || got[2] != 10 {
		t.Errorf("got %v, %d bad, want ten each after the server was added", got, bad)
	}
}

func TestGroupsWhoseWeightsCannotBeSet(t *testing.T) {
	for _, c := range []struct{ name, upstream, why string }{
		{"no zone: the servers are in each worker's own memory", "server %s weight=3; server %s;",
			"add the line `zone app 64k;`"},
		{"random keeps ranges in every worker", "random; server %s weight=3; server %s; ZONE", "random"},
		{"random with a choice of two, and keepalive around it", "random two least_conn; server %s weight=3; server " +
			"%s; ZONE keepalive 4;", "random"},
		{"a consistent hash keeps points", "hash $request_uri consistent; server %s weight=3; server %s; ZONE",
			"consistent"},
		{"a balancer in Lua", "server %[1]s weight=3; server %[2]s; ZONE balancer_by_lua_block { local x }",
			"another module's"},
		{"a server declared twice", "server %[1]s weight=2; server %[2]s; server %[1]s; ZONE", "stands in it twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, 1, 2, c.upstream, "")
			s := w.state().Upstreams["app"]
			if s.Live || !strings.Contains(s.Why, c.why) {
				t.Errorf("got live %v, why %q, want the reason %q", s.Live, s.Why, c.why)
			}
			if status, text := w.control("PUT", "app "+w.backends[0].addr+" 2 up", token); status != 409 ||
				!strings.Contains(text, c.why) {
				t.Errorf("PUT: got %d %s, want 409 and the reason", status, text)
			}
			if _, bad := w.get(20); bad != 0 {
				t.Errorf("got %d bad answers, want NGINX to balance as it does", bad)
			}
		})
	}
}

func TestMemoryThatDoesNotFitIsLeftAlone(t *testing.T) {
	const peer = `package.loaded["tampered"].`
	const find = `for _, g in ipairs(package.loaded["trimtab.running"].upstreams("")) do if g.name == "app" then package.loaded["tampered"] = g end end `
	for _, c := range []struct{ name, lua, why string }{
		{"sums that do not add up", peer + "servers[1].peer.weight = 9", "sums"},
		{"a weight that another program has set", peer + "servers[1].peer.weight = 9 " + peer +
			"conf.data.total_weight = 10 " + peer + "conf.data.weighted = 1", "another program"},
		{"another server's name", peer + "servers[1].peer.name.len = 5", "not 127.0.0.1:"},
		{"a record outside the zone", peer + "servers[1].peer.name.data = " + peer + "conf.host.data",
			"outside its zone"},
		{"a list that goes on", peer + "servers[2].peer.next = " + peer + "servers[1].peer", "does not end"},
		{"more servers than the configuration has", peer + "conf.data.number = 3", "has 3 servers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, 1, 2, "server %s; server %s; ZONE", "")
			w.put("2 up", "2 up")
			if status, text := w.control("DELETE", "", token); status != 200 {
				t.Fatalf("DELETE: got %d %s", status, text)
			}
			w.rewrite("location /fallback",
				"location = /tamper { content_by_lua_block { "+find+c.lua+" } }\n location /fallback")
			if resp, err := http.Get(w.url + "/tamper"); err != nil || resp.StatusCode != 200 {
				t.Fatalf("tamper: got %v, %v", resp, err)
			}
			if s := w.state().Upstreams["app"]; s.Live || !strings.Contains(s.Why, c.why) {
				t.Errorf("got live %v, why %q, want %q", s.Live, s.Why, c.why)
			}
			if status, text := w.control("PUT", "app "+w.backends[0].addr+" 2 up", token); status != 409 ||
				!strings.Contains(text, c.why) {
				t.Errorf("PUT: got %d %s, want 409 and the reason", status, text)
			}
		})
	}
}

func TestHostNamesCountAsTheirAddresses(t *testing.T) {
	w := start(t, 1, 1, "server localhost:9 down; server %s; ZONE", "")
	s := w.state().Upstreams["app"]
	if !s.Live || len(s.Servers) < 2 || !strings.HasSuffix(s.Servers[0].Server, ":9") ||
		strings.HasPrefix(s.Servers[0].Server, "localhost") {
		t.Fatalf("got %+v, want localhost's addresses", s)
	}
	if status, text := w.control("PUT", "app "+s.Servers[0].Server+" 7 down", token); status != 200 {
		t.Errorf("PUT: got %d %s", status, text)
	}
	if got := w.state().Upstreams["app"].Servers[0].Weight; got != 7 {
		t.Errorf("got weight %d, want 7", got)
	}
}

func TestControlRefuses(t *testing.T) {
	w := start(t, 1, 2, "server %s; server %s; ZONE", "")
	a := w.backends[0].addr
	for _, c := range []struct {
		name, method, body, token string
		status                    int
	}{
		{"a wrong token", "PUT", "app " + a + " 2 up", strings.Repeat("x", 32), 401},
		{"an empty token", "GET", "", "", 401},
		{"a prefix of the token", "GET", "", token[:31], 401},
		{"another method", "POST", "app " + a + " 2 up", token, 405},
		{"an empty call", "PUT", "", token, 400},
		{"a line that is none", "PUT", "app " + a + " 2", token, 400},
		{"weight 0", "PUT", "app " + a + " 0 up", token, 400},
		{"weight 101", "PUT", "app " + a + " 101 up", token, 400},
		{"an unknown upstream", "PUT", "other " + a + " 2 up", token, 409},
		{"an unknown server", "PUT", "app 127.0.0.1:1 2 up", token, 409},
		{"one bad line among good ones", "PUT", "app " + a + " 2 up\napp 127.0.0.1:1 2 up", token, 409},
		{"all servers down", "PUT", fmt.Sprintf("app %s 1 down\napp %s 1 down", a, w.backends[1].addr), token, 409},
	} {
		if status, text := w.control(c.method, c.body, c.token); status != c.status ||
			!strings.Contains(text, `"error"`) {
			t.Errorf("%s: got %d %s, want %d", c.name, status, text, c.status)
		}
	}
	if s := w.state().Upstreams["app"]; s.Set || s.Servers[0].Weight != 1 {
		t.Errorf("got %+v, want nothing changed by refused calls", s)
	}
}

func TestManyServers(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "server 127.1.%d.%d:9 max_fails=0;\n", i/250, i%250+1)
	}
	w := start(t, 1, 1, b.String()+"server %s weight=2; ZONE", "")
	b.Reset()
	for i := range 1000 {
		fmt.Fprintf(&b, "app 127.1.%d.%d:9 1 down\n", i/250, i%250+1)
	}
	if status, text := w.control("PUT", b.String(), token); status != 200 {
		t.Fatalf("got %d %.200s", status, text)
	}
	if got, bad := w.get(5); got[0] != 5 || bad != 0 {
		t.Errorf("got %v, %d bad, want all on the only server that is up", got, bad)
	}
}
