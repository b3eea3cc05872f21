package lua_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"trimtab/nginx/lua"
	"trimtab/vts"
)

// Where NGINX's memory is left alone the counters must be the same; only the settings of servers are unknown.
func TestShimCountsByVariablesAlone(t *testing.T) {
	a, b := statusBackend(t), statusBackend(t)
	dead := deadAddr(t)
	w := newShimWorld(t, lua.Status{NoMemory: true}, 2, fmt.Sprintf(`
    upstream one { server %[1]s weight=3 max_fails=0; server %[2]s max_fails=4 fail_timeout=7; }
    upstream two { server %[1]s; server %[2]s down; }
    upstream retry { server %[3]s max_fails=0; server %[1]s backup; }
    upstream none { server %[3]s max_fails=1 fail_timeout=1h; server %[3]s down; }
    `, a.addr, b.addr, dead), fmt.Sprintf(`
        location /one { proxy_pass http://one; }
        location /two { proxy_pass http://two; }
        location /retry { proxy_pass http://retry; }
        location /none { proxy_pass http://none; }
        location /direct { proxy_pass http://%s; }
    `, b.addr))

	ask(t, w.url+"/one", 40)
	ask(t, w.url+"/one?status=500", 4)
	ask(t, w.url+"/two?status=404", 5)
	ask(t, w.url+"/two?accel=/one", 8)
	if codes := ask(t, w.url+"/retry", 7); codes[200] != 7 {
		t.Fatalf("retried requests: got %v, want 7 times 200", codes)
	}
	ask(t, w.url+"/none", 3)
	ask(t, w.url+"/direct", 6)

	sum := func(st vts.Status, group string) (n uint64) {
		for _, u := range st.Upstreams {
			if u.Name == group {
				for _, p := range u.Peers {
					n += p.Requests
				}
			}
		}
		return n
	}
	st := w.settled(t, "all requests", func(st vts.Status) bool {
		return sum(st, "one") >= 52 && sum(st, "two") >= 5 && sum(st, "retry") >= 14 && sum(st, b.addr) >= 6 &&
			sum(st, "none") >= 3
	})
	for _, c := range []struct {
		name, group, server string
		requests            uint64
		responses           vts.Responses
	}{
		{"three of four go to the server of weight 3; redirected requests come on top", "one", a.addr, 39,
			vts.Responses{0, 36, 0, 0, 3}},
		{"one of four to the other", "one", b.addr, 13, vts.Responses{0, 12, 0, 0, 1}},
		{"what came before a redirect has no known group", "::nogroups", a.addr, 8, vts.Responses{0, 8, 0, 0, 0}},
		{"an attempt that was passed on counts for the server that failed", "retry", dead, 7,
			vts.Responses{0, 0, 0, 0, 7}},
		{"and the one that answered for the server that did", "retry", a.addr, 7, vts.Responses{0, 7, 0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := peerOf(st, c.group, c.server)
			if p.Requests != c.requests || p.Responses != c.responses {
				t.Errorf("%s %s: got %d requests, responses %v; want %d, %v", c.group, c.server, p.Requests,
					p.Responses, c.requests, c.responses)
			}
			if !p.NoWeight || p.Weight != 0 {
				t.Errorf("%s %s: got weight %d, unknown %v; want it to be unknown", c.group, c.server, p.Weight,
					p.NoWeight)
			}
		})
	}
	resp, err := http.Get(w.status)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Trimtab-Weights"); !strings.HasPrefix(got, "null: ") {
		t.Errorf("got Trimtab-Weights %q, want null and why", got)
	}
}
