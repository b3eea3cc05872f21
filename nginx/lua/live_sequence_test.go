package lua_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// picks sends n requests one after the other, from as many addresses, and returns the backends that answered, by
// number.
func (w *world) picks(path string, n int) []int {
	w.t.Helper()
	got := make([]int, n)
	for i := range got {
		req, err := http.NewRequest("GET", fmt.Sprintf("%s%s?%d", w.url, path, i), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("X-Real-IP", fmt.Sprintf("10.0.%d.1", i))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got[i] = slices.IndexFunc(w.backends, func(b *backend) bool { return b.addr == string(text) })
		if got[i] < 0 {
			w.t.Fatalf("request %d: got %d %s", i, resp.StatusCode, text)
		}
	}
	return got
}

// The promise: weights set live pick as a configuration does that NGINX has just loaded with these weights.
func TestPicksAreThoseOfAFreshConfiguration(t *testing.T) {
	const vectors, servers, requests = 20, 4, 60
	for _, c := range []struct {
		name, method, below string
		workers             int
		reports             string
	}{
		{"round robin in four workers", "", "", 4, "round_robin"},
		{"round robin with keepalive in four workers", "", "keepalive 4;", 4, "round_robin"},
		{"least_conn", "least_conn;", "", 1, "least_conn"},
		{"least_conn with keepalive", "least_conn;", "keepalive 4;", 1, "least_conn"},
		{"ip_hash", "ip_hash;", "", 2, "ip_hash"},
		{"ip_hash with keepalive", "ip_hash;", "keepalive 4;", 2, "ip_hash"},
		{"hash", "hash $args;", "", 2, "hash"},
		{"hash with keepalive", "hash $args;", "keepalive 4;", 2, "hash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, c.workers, servers, c.method+" server %s; server %s; server %s; server %s; ZONE "+c.below, "")
			random := rand.New(rand.NewPCG(1, 2))
			weights := make([][servers]int, vectors)
			native, places := "set_real_ip_from 127.0.0.1;\n", ""
			for i := range weights {
				lines := ""
				for j := range servers {
					weights[i][j] = 1 + random.IntN([]int{9, 100}[i%2])
					lines += fmt.Sprintf("server %s weight=%d; ", w.backends[j].addr, weights[i][j])
				}
				native += fmt.Sprintf("upstream native%d { %s %s zone native%d 64k; %s }\n", i, c.method, lines, i,
					c.below)
				places += fmt.Sprintf("location = /%d { proxy_pass http://native%d; proxy_http_version 1.1; "+
					"proxy_set_header Connection \"\"; }\n", i, i)
			}
			w.rewrite("    server {", native+"    server {")
			w.rewrite("location / {", places+"location / {")
			seen := map[int]bool{}
			for i, v := range weights {
				w.put(fmt.Sprint(v[0], " up"), fmt.Sprint(v[1], " up"), fmt.Sprint(v[2], " up"),
					fmt.Sprint(v[3], " up"))
				got, want := w.picks("/", requests), w.picks(fmt.Sprintf("/%d", i), requests)
				if !slices.Equal(got, want) {
					t.Errorf("weights %v: got %v, want %v as freshly loaded", v, got, want)
				}
				for _, at := range got {
					seen[at] = true
				}
			}
			if len(seen) != servers {
				t.Errorf("only servers %v were picked", seen)
			}
			if s := w.state().Upstreams["app"]; s.Method != c.reports {
				t.Errorf("method: got %s, want %s", s.Method, c.reports)
			}
		})
	}
}

// A server that is down gets nothing, at no moment, however often NGINX reloads and workers are killed.
func TestWeightsHoldThroughReloadsAndKills(t *testing.T) {
	w := start(t, 4, 3, "server %s; server %s; server %s; ZONE keepalive 4;", "proxy_next_upstream off;")
	w.put("1 down", "2 up", "5 up")
	stop, done := make(chan struct{}), make(chan int)
	before := w.backends[0].served.Load()
	go func() {
		client, answered := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, 0
		for {
			select {
			case <-stop:
				done <- answered
				return
			default:
			}
			resp, err := client.Get(w.url) // fails when its worker is killed
			if err == nil {
				resp.Body.Close()
				answered++
			}
		}
	}()
	for i := range 12 {
		w.put("1 down", fmt.Sprint(1+i%7, " up"), "5 up")
		if i%3 == 2 {
			w.rewrite("worker_connections", "worker_connections") // nothing but a reload
		} else {
			workers := w.workers()
			if err := syscall.Kill(workers[i%len(workers)], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "another worker takes its place", func() bool {
				now := w.workers()
				return len(now) == 4 && !slices.Contains(now, workers[i%len(workers)])
			})
		}
		if s := w.state().Upstreams["app"]; !s.Live || s.Servers[1].Weight != 1+i%7 || !s.Servers[0].Down {
			t.Fatalf("after turn %d: got %+v, want weight %d", i, s, 1+i%7)
		}
	}
	close(stop)
	if n := <-done; n == 0 {
		t.Error("no request was answered")
	}
	if n := w.backends[0].served.Load() - before; n != 0 {
		t.Errorf("the server that is down got %d requests", n)
	}
	w.put("1 down", "2 up", "5 up")
	if got, bad := w.get(70); bad != 0 || got[1] != 20 || got[2] != 50 {
		t.Errorf("got %v, %d bad, want 0, 20 and 50", got, bad)
	}
}

// Calls while NGINX reloads meet workers of both configurations; none of them may answer for the wrong one.
func TestCallsDuringReloads(t *testing.T) {
	w := start(t, 2, 2, "server %s; server %s; ZONE", "")
	asked, slow := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(slow) })
	t.Cleanup(release)
	w.backends[1].set(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			asked <- struct{}{}
			<-slow
		}
		fmt.Fprint(rw, w.backends[1].addr)
	})
	w.put("1 down", "1 up")
	old := make(chan error)
	go func() {
		resp, err := http.Get(w.url + "/slow")
		if err == nil && resp.StatusCode != 200 {
			err = fmt.Errorf("%s", resp.Status)
		}
		old <- err
	}()
	<-asked
	again := 0
	for i := range 10 {
		if err := syscall.Kill(w.PID, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for j := range 20 {
			lines := fmt.Sprintf("app %s %d up\napp %s %d up", w.backends[0].addr, 1+(i+j)%5, w.backends[1].addr, 6)
			status, text := w.control("PUT", lines, token)
			for status == 503 && strings.Contains(text, `"again":true`) {
				again++
				status, text = w.control("PUT", lines, token)
			}
			if status != 200 {
				t.Fatalf("reload %d, call %d: got %d %s", i, j, status, text)
			}
			if s := w.state().Upstreams["app"]; !s.Live || s.Servers[0].Weight != 1+(i+j)%5 {
				t.Fatalf("reload %d, call %d: got %+v, want weight %d", i, j, s, 1+(i+j)%5)
			}
		}
	}
	t.Logf("%d of 400 calls were told to ask again", again)
	w.put("3 up", "1 up")
	// Until the last reload is through, workers of the configuration before take requests too.
	eventually(t, "the weights set last are those of every pick", func() bool {
		got, bad := w.get(40)
		return bad == 0 && got[0] == 30
	})
	release()
	if err := <-old; err != nil {
		t.Errorf("the request that an old worker served through all reloads: %v", err)
	}
}
