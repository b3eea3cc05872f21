package lua_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// hang makes the backend close the connection without an answer: NGINX calls that a failed attempt.
func hang(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close()
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}

func TestPassiveFailureMarking(t *testing.T) {
	t.Run("a server that fails max_fails times is passed over, the client sees no error", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=2 fail_timeout=1h; server %s; ZONE", "")
		w.backends[0].set(hang)
		served, bad := w.get(20)
		if bad != 0 || served[0] != 2 || served[1] != 20 {
			t.Errorf("got %v, %d bad, want 2 tries on the first, 20 answers of the second, no error", served, bad)
		}
		if s := w.state().Upstreams["app"].Servers[0]; s.Fails != 2 {
			t.Errorf("got %d fails, want 2", s.Fails)
		}
	})
	t.Run("after fail_timeout one request probes the server, and its success brings it back", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1s; server %s; ZONE", "")
		w.backends[0].set(hang)
		w.get(4)
		w.backends[0].handle.Store(nil)
		eventually(t, "the server is used again", func() bool { served, _ := w.get(4); return served[0] > 0 })
		eventually(t, "its failures are forgotten", func() bool {
			w.get(2)
			return w.state().Upstreams["app"].Servers[0].Fails == 0
		})
		if served, bad := w.get(40); served[0] < 15 || bad != 0 {
			t.Errorf("got %v, %d bad, want half each", served, bad)
		}
	})
	t.Run("max_fails=0 never passes a server over", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=0; server %s max_fails=0; ZONE", "")
		w.backends[0].set(hang)
		if served, bad := w.get(20); served[0] < 8 || bad != 0 {
			t.Errorf("got %v, %d bad, want the first tried about every other time", served, bad)
		}
	})
	t.Run("the failure of a last attempt counts: POST is not passed on", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1h; server %s; ZONE", "")
		w.backends[0].set(hang)
		bad := 0
		for range 10 {
			resp, err := http.Post(w.url, "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 {
				bad++
			}
		}
		if bad != 1 || w.backends[0].served.Load() != 1 {
			t.Errorf("got %d bad and %d requests on the failing server, want 1 and 1", bad, w.backends[0].served.Load())
		}
	})
	t.Run("an answer of 502 by the server itself is no failure, as in NGINX", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1h; server %s; ZONE", "")
		w.backends[0].set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) })
		if served, bad := w.get(20); served[0] != 10 || bad != 10 {
			t.Errorf("got %v, %d bad, want 10 and 10", served, bad)
		}
	})
	t.Run("a failed last attempt counts through an error_page to another location too", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1h; server %s; ZONE", "proxy_next_upstream off; "+
			"error_page 502 = /fallback;")
		w.backends[0].set(hang)
		if served, bad := w.get(20); served[0] != 1 || bad != 0 {
			t.Errorf("got %v, %d bad, want one try on the first and no error", served, bad)
		}
	})
	t.Run("backups serve when all others are out", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1h; server %s backup; ZONE", "")
		if served, _ := w.get(4); served[1] != 0 {
			t.Errorf("healthy: got %v, want the backup unused", served)
		}
		w.backends[0].set(hang)
		if served, bad := w.get(10); served[0] != 1 || served[1] != 10 || bad != 0 {
			t.Errorf("got %v, %d bad, want the backup to answer all", served, bad)
		}
	})
	t.Run("with no server left the answer is NGINX's own 502", func(t *testing.T) {
		w := start(t, 1, 2, "server %s max_fails=1 fail_timeout=1h; server %s max_fails=1 fail_timeout=1h; ZONE", "")
		w.backends[0].set(hang)
		w.backends[1].set(hang)
		if served, bad := w.get(5); served[0] != 1 || served[1] != 1 || bad != 5 {
			t.Errorf("got %v, %d bad, want one try each and five 502", served, bad)
		}
		log, err := os.ReadFile(w.ErrorLog())
		if err != nil || !strings.Contains(string(log), "no live upstreams") {
			t.Errorf("error log: %v, want NGINX to say: no live upstreams", err)
		}
	})
	t.Run("max_conns holds a server back", func(t *testing.T) {
		w := start(t, 2, 2, "server %s max_conns=1; server %s; ZONE", "")
		done := w.occupy(6)
		if n := w.backends[0].served.Load(); n != 1 {
			t.Errorf("got %d requests on the server with max_conns=1, want 1", n)
		}
		done()
	})
}

// occupy sends n requests that stay until done is called, one after the other so that each is seen by the next.
func (w *world) occupy(n int) (done func()) {
	w.t.Helper()
	release := make(chan struct{})
	over := sync.OnceFunc(func() { close(release) })
	w.t.Cleanup(over) // before the backends close, which waits for their requests
	for _, b := range w.backends {
		b.set(func(http.ResponseWriter, *http.Request) { <-release })
	}
	sum := func() (n int64) {
		for _, b := range w.backends {
			n += b.served.Load()
		}
		return n
	}
	before := sum()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(w.url); err == nil {
				resp.Body.Close()
			}
		})
		eventually(w.t, fmt.Sprintf("request %d arrives", i), func() bool { return sum() == before+int64(i)+1 })
		eventually(w.t, fmt.Sprintf("request %d is counted", i), func() bool {
			n := 0
			for _, a := range w.active() {
				n += a
			}
			return n == i+1
		})
	}
	return func() { over(); all.Wait() }
}

func (w *world) active() []int {
	var n []int
	for _, s := range w.state().Upstreams["app"].Servers {
		n = append(n, s.Active)
	}
	return n
}

func TestLeastConnCountsOverAllWorkers(t *testing.T) {
	w := start(t, 3, 2, "least_conn; server %s; server %s weight=2; ZONE keepalive 4;", "")
	done := w.occupy(12)
	if got := w.active(); got[0] != 4 || got[1] != 8 {
		t.Errorf("active: got %v, want 4 and 8, as weights 1 and 2 say", got)
	}
	done()
	eventually(t, "nothing is active", func() bool { a := w.active(); return a[0]+a[1] == 0 })
}

func (w *world) workers() (pids []int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", w.PID, w.PID))
	if err != nil {
		w.t.Skip(err)
	}
	for _, f := range strings.Fields(string(text)) {
		var pid int
		fmt.Sscan(f, &pid)
		pids = append(pids, pid)
	}
	return pids
}
