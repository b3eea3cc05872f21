package lua_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/nginx/lua"
	"trimtab/vts"
)

func TestShimChargesEveryAttemptToItsServer(t *testing.T) {
	a, b := statusBackend(t), statusBackend(t)
	dead := deadAddr(t)
	w := newShimWorld(t, lua.Status{}, 2, fmt.Sprintf(`
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
		return sum(st, "one") >= 52 && sum(st, "two") >= 13 && sum(st, "retry") >= 14
	})
	for _, c := range []struct {
		sentence, group, server string
		requests                uint64
		responses               vts.Responses
		weight                  int
	}{
		{"three of four go to the server of weight 3; redirected requests come on top", "one", a.addr, 39,
			vts.Responses{0, 36, 0, 0, 3}, 3},
		{"one of four to the other", "one", b.addr, 13, vts.Responses{0, 12, 0, 0, 1}, 1},
		{"a redirect by X-Accel-Redirect is an attempt of its own, in its own group", "two", a.addr, 13,
			vts.Responses{0, 8, 0, 5, 0}, 1},
		{"a server that is down has nothing", "two", b.addr, 0, vts.Responses{}, 1},
		{"an attempt that was passed on counts for the server that failed", "retry", dead, 7,
			vts.Responses{0, 0, 0, 0, 7}, 1},
		{"and the one that answered for the server that did", "retry", a.addr, 7, vts.Responses{0, 7, 0, 0, 0}, 1},
	} {
		p := peerOf(st, c.group, c.server)
		if p.Requests != c.requests || p.Responses != c.responses || p.Weight != c.weight {
			t.Errorf("%s: %s %s: got %d requests, responses %v, weight %d; want %d, %v, %d", c.sentence,
				c.group, c.server, p.Requests, p.Responses, p.Weight, c.requests, c.responses, c.weight)
		}
	}
	// Package vts passes over what belongs to no group; the page shows it, as the module's does.
	eventually(t, "6 requests for an address without an upstream block", func() bool {
		rows := w.upstreamZones(t)["::nogroups"]
		return len(rows) == 1 && rows[0].Server == b.addr && rows[0].RequestCounter == 6 && rows[0].Weight == 0
	})
}

// upstreamRow is a server on the page.
type upstreamRow struct {
	Server                 string
	RequestCounter, Weight int
}

// upstreamZones reads the page without package vts.
func (w *shimWorld) upstreamZones(t testing.TB) map[string][]upstreamRow {
	t.Helper()
	resp, err := http.Get(w.status)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ UpstreamZones map[string][]upstreamRow }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return page.UpstreamZones
}

// counted counts the bytes that pass through a client's connections.
type counted struct {
	net.Conn
	in, out *atomic.Int64 // as NGINX sees them
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.out.Add(int64(n))
	return n, err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.in.Add(int64(n))
	return n, err
}

func TestShimMatchesWhatClientAndBackendsCounted(t *testing.T) {
	a, b, c := statusBackend(t), statusBackend(t), statusBackend(t)
	dead := deadAddr(t)
	w := newShimWorld(t, lua.Status{BucketsMsec: []int{5, 100, 60000}}, 2, fmt.Sprintf(`
    upstream app { zone app 64k; least_conn; server %s weight=2; server %s; server %s max_fails=0; server %s backup; keepalive 4; }
    `, a.addr, b.addr, dead, c.addr), `
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream error http_404; }
    `)
	var in, out atomic.Int64
	dial := (&net.Dialer{}).DialContext
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			return counted{conn, &in, &out}, err
		}}}
	defer client.CloseIdleConnections()
	var codes [6]atomic.Int64
	var group sync.WaitGroup
	const clients, each = 8, 60
	for i := range clients {
		group.Go(func() {
			for j := range each {
				query := [...]string{"", "", "?status=500", "?status=404", ""}[j%5]
				body := strings.Repeat("b", (i*each+j)*37%4000)
				resp, err := client.Post(w.url+"/x"+query, "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				codes[resp.StatusCode/100].Add(1)
			}
		})
	}
	group.Wait()

	var total vts.Peer
	w.settled(t, "every request", func(st vts.Status) bool {
		total = vts.Peer{Buckets: make([]uint64, 3)}
		for _, p := range st.Upstreams[0].Peers {
			total.Requests += p.Requests
			total.InBytes += p.InBytes
			total.OutBytes += p.OutBytes
			for i, n := range p.Responses {
				total.Responses[i] += n
			}
			for i, n := range p.Buckets {
				total.Buckets[i] += n
			}
		}
		deadCount := peerOf(st, "app", dead).Requests
		served := uint64(a.served.Load() + b.served.Load() + c.served.Load())
		return total.Requests == served+deadCount && total.InBytes == uint64(in.Load()) &&
			peerOf(st, "app", a.addr).Requests == uint64(a.served.Load()) &&
			peerOf(st, "app", b.addr).Requests == uint64(b.served.Load()) &&
			peerOf(st, "app", c.addr).Requests == uint64(c.served.Load()) &&
			peerOf(st, "app", dead).Responses == vts.Responses{0, 0, 0, 0, deadCount} && deadCount > 0
	})
	if got, want := total.OutBytes, uint64(out.Load()); got != want {
		t.Errorf("got %d bytes out, the clients received %d", got, want)
	}
	if total.Buckets[2] != total.Requests {
		t.Errorf("got %d attempts in the histograms below one minute, want all %d", total.Buckets[2], total.Requests)
	}
	if sum := total.Responses[1] + total.Responses[3] + total.Responses[4]; sum != total.Requests {
		t.Errorf("got %v by class, want %d in all", total.Responses, total.Requests)
	}
	if got, want := total.Responses[1], uint64(codes[2].Load()); got != want {
		t.Errorf("got %d successes, the clients saw %d", got, want)
	}
}

func TestShimFollowsABalancerInLua(t *testing.T) {
	a, b := statusBackend(t), statusBackend(t)
	host, port, _ := net.SplitHostPort(b.addr)
	w := newShimWorld(t, lua.Status{}, 1, fmt.Sprintf(`
    upstream one { server %[1]s weight=2; server %[2]s; balancer_by_lua_block { require("ngx.balancer").set_current_peer("%[3]s", %[4]s) } }
    upstream two { server %[1]s; server %[2]s; }
    `, a.addr, b.addr, host, port), `
        location /one { proxy_pass http://one; }
        location /two { proxy_pass http://two; }
    `)
	ask(t, w.url+"/one", 9)
	ask(t, w.url+"/two", 4)
	st := w.settled(t, "all requests", func(st vts.Status) bool {
		return peerOf(st, "one", b.addr).Requests == 9 && peerOf(st, "two", b.addr).Requests == 2
	})
	if n := peerOf(st, "one", a.addr).Requests; n != 0 {
		t.Errorf("got %d requests on the server that the balancer never chose, want 0", n)
	}
}

// shape lists the paths of a JSON value with their types; names of zones, groups and servers, which differ, are stars.
func shape(path string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		into[path+" object"] = true
		for key, e := range v {
			if path == ".serverZones" || path == ".upstreamZones" {
				key = "*"
			}
			shape(path+"."+key, e, into)
		}
	case []any:
		into[path+" array"] = true
		for _, e := range v {
			shape(path+"[]", e, into)
		}
	default:
		into[fmt.Sprintf("%s %T", path, v)] = true
	}
}

func TestShimPageHasTheShapeOfTheModules(t *testing.T) {
	names, _ := filepath.Glob("../../../shared/data/vts-0.2.7/*.json")
	if len(names) == 0 {
		t.Skip("the recorded replies are not on this machine")
	}
	want := map[string]bool{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		delete(v, "filterZones") // there only because the recorded configuration asked for it
		shape("", v, want)
	}
	a := statusBackend(t)
	w := newShimWorld(t, lua.Status{}, 1, fmt.Sprintf("upstream app { server %s; }\n", a.addr),
		"location / { proxy_pass http://app; }\n")
	ask(t, w.url, 3)
	w.settled(t, "3 requests", func(st vts.Status) bool { return peerOf(st, "app", a.addr).Requests == 3 })
	resp, err := http.Get(w.status)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	shape("", v, got)
	// The shim keeps no rings of recent times: they are there, and empty. It says how much did not fit, which the
	// module does not.
	for key := range want {
		if !got[key] && !strings.Contains(key, "requestMsecs.times[]") &&
			!strings.Contains(key, "requestMsecs.msecs[]") &&
			!strings.Contains(key, "responseMsecs.times[]") && !strings.Contains(key, "responseMsecs.msecs[]") {
			t.Errorf("the module has %s, the shim has not", key)
		}
	}
	for key := range got {
		if !want[key] && key != ".sharedZones.dropped float64" {
			t.Errorf("the shim has %s, the module has not", key)
		}
	}
}

// As nginx-module-vts counts it: no response, so no response time; the request's time and a 4xx (499).
func TestShimChargesNoResponseTimeToWhoGaveUp(t *testing.T) {
	b := newBackend(t)
	arrived := make(chan struct{}, 1)
	b.set(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	upstream := fmt.Sprintf("upstream hangs { server %s; }", b.addr)
	w := newShimWorld(t, lua.Status{}, 1, upstream, "location /hangs { proxy_pass http://hangs; }")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/hangs", nil)
		if err == nil {
			_, err = (&http.Client{Transport: &http.Transport{}}).Do(req)
		}
		ended <- err
	}()
	<-arrived
	patience := time.NewTimer(150 * time.Millisecond) // what the client waits is what the test measures
	defer patience.Stop()
	<-patience.C
	cancel()
	if err := <-ended; err == nil {
		t.Error("got an answer of a server that hangs")
	}
	st := w.settled(t, "the request", func(st vts.Status) bool { return peerOf(st, "hangs", b.addr).Requests == 1 })
	p := peerOf(st, "hangs", b.addr)
	if p.Responses != (vts.Responses{0, 0, 0, 1, 0}) || p.ResponseMsec != 0 || p.RequestMsec < 140 {
		t.Errorf("got responses %v, %d ms of response, %d ms of request; want one 4xx, 0 and at least 140",
			p.Responses, p.ResponseMsec, p.RequestMsec)
	}
}
