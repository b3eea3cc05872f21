package lua_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trimtab/nginx/lua"
	"trimtab/vts"
)

// reload puts upstreams into the configuration and signals the master.
func (w *shimWorld) reload(t *testing.T, upstreams, locations string) {
	t.Helper()
	if err := os.WriteFile(w.Config, []byte(w.config(upstreams, locations)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(w.PID, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// logged waits until NGINX's error log holds the text.
func (w *shimWorld) logged(t *testing.T, text string) {
	t.Helper()
	w.settled(t, "an entry of the error log with "+text, func(vts.Status) bool {
		log, err := os.ReadFile(w.ErrorLog())
		return err == nil && strings.Contains(string(log), text)
	})
}

func TestShimShowsTheConfigurationInForce(t *testing.T) {
	a, b := statusBackend(t), statusBackend(t)
	upstream := func(wa, wb int) string {
		return fmt.Sprintf("    upstream app { zone app 64k; server %s weight=%d; server %s weight=%d; }\n", a.addr, wa,
			b.addr, wb)
	}
	location := "        location / { proxy_pass http://app; }\n"
	w := newShimWorld(t, lua.Status{}, 2, upstream(1, 1), location)
	ask(t, w.url, 20)
	before := w.settled(t, "20 requests", func(st vts.Status) bool {
		return peerOf(st, "app", a.addr).Requests+peerOf(st, "app", b.addr).Requests == 20
	})
	same := func(sentence string) {
		t.Helper()
		st := w.settled(t, sentence, func(vts.Status) bool { return true })
		if st.LoadMsec != before.LoadMsec || peerOf(st, "app", a.addr).Weight != 1 {
			t.Errorf("%s: got loadMsec %d and weight %d, want %d and 1 as before", sentence, st.LoadMsec,
				peerOf(st, "app", a.addr).Weight, before.LoadMsec)
		}
	}

	// A test of another configuration is not a load.
	if err := os.WriteFile(w.Config, []byte(w.config(upstream(7, 8), location)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), w.Binary, "-t", "-q", "-p", w.Dir, "-c",
		w.Config).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v: %s", err, out)
	}
	same("an edited file that was only tested")

	// Nor is a reload that fails because a port is taken, though Lua's init code has run for it.
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w.reload(t, upstream(7, 8)+fmt.Sprintf("    server { listen %s; }\n", taken.Addr()), location)
	w.logged(t, "still could not bind")
	same("a reload that failed")

	w.reload(t, upstream(2, 5), location)
	after := w.settled(t, "the reload", func(st vts.Status) bool { return st.LoadMsec > before.LoadMsec })
	if wa, wb := peerOf(after, "app", a.addr).Weight, peerOf(after, "app", b.addr).Weight; wa != 2 || wb != 5 {
		t.Errorf("after the reload: got weights %d and %d, want 2 and 5", wa, wb)
	}
	if n := peerOf(after, "app", a.addr).Requests + peerOf(after, "app", b.addr).Requests; n != 20 {
		t.Errorf("after the reload: got %d requests, want the 20 from before it", n)
	}
	if _, err := vts.Delta(&before, &after); err != nil {
		t.Errorf("over the reload: got %v, want a sample", err)
	}
}

func TestShimCountsWhatDrainingAndKilledWorkersDid(t *testing.T) {
	a := statusBackend(t)
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	slow := newBackend(t)
	slow.set(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "late")
	})
	upstream := func(weight int) string {
		return fmt.Sprintf("    upstream app { server %s weight=%d; }\n    upstream slow { server %s; }\n", a.addr,
			weight, slow.addr)
	}
	location := "        location / { proxy_pass http://app; }\n        location /slow { proxy_pass http://slow; }\n"
	w := newShimWorld(t, lua.Status{}, 1, upstream(1), location)
	done := make(chan error, 1)
	go func() {
		resp, err := http.Get(w.url + "/slow")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		done <- err
	}()
	<-arrived
	first := w.settled(t, "the first page", func(vts.Status) bool { return true })
	w.reload(t, upstream(3), location)
	second := w.settled(t, "the reload", func(st vts.Status) bool { return st.LoadMsec > first.LoadMsec })
	ask(t, w.url, 5)
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// The master lets old workers accept for another 100 ms: only a page of the new configuration is asked about.
	st := w.settled(t, "the request that the old worker finished", func(st vts.Status) bool {
		return st.LoadMsec >= second.LoadMsec && peerOf(st, "slow", slow.addr).Requests == 1 &&
			peerOf(st, "app", a.addr).Requests == 5
	})
	if st.LoadMsec != second.LoadMsec || peerOf(st, "app", a.addr).Weight != 3 {
		t.Errorf("after the old worker finished: got loadMsec %d and weight %d, want %d and 3", st.LoadMsec,
			peerOf(st, "app", a.addr).Weight, second.LoadMsec)
	}

	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", w.PID, w.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	ask2 := func() bool { // until the master has a new worker
		resp, err := http.Get(w.url)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	}
	for !ask2() {
		if t.Context().Err() != nil {
			t.Fatal("no worker came back")
		}
	}
	w.settled(t, "the counts of a killed worker", func(st vts.Status) bool {
		return peerOf(st, "app", a.addr).Requests == 6
	})
}

func TestShimSaysWhenItsDictionaryIsFull(t *testing.T) {
	var upstreams, locations strings.Builder
	a := statusBackend(t)
	const n = 60
	for i := range n {
		fmt.Fprintf(&upstreams, "    upstream g%d { server %s; }\n", i, a.addr)
		fmt.Fprintf(&locations, "        location /%d/ { proxy_pass http://g%d/; }\n", i, i)
	}
	w := newShimWorld(t, lua.Status{DictKiB: 128, BucketsMsec: []int{}}, 1, upstreams.String(), locations.String())
	for i := range n {
		ask(t, fmt.Sprintf("%s/%d/", w.url, i), 2)
	}
	var counted uint64
	st := w.settled(t, "all requests counted or reported as dropped", func(st vts.Status) bool {
		counted = 0
		for _, u := range st.Upstreams {
			for _, p := range u.Peers {
				counted += p.Requests
			}
		}
		return counted+st.Zone.Dropped == 2*n
	})
	if st.Zone.Dropped == 0 || counted == 0 || st.Zone.MaxBytes != 128<<10 {
		t.Errorf("got %d counted, %d dropped, zone of %d bytes; want some of each in 131072", counted, st.Zone.Dropped,
			st.Zone.MaxBytes)
	}
	for _, u := range st.Upstreams {
		for _, p := range u.Peers {
			if p.Requests != 0 && (p.Requests != 2 || p.Responses[1] != 2) {
				t.Errorf("%s: got %d requests, %v: want all of its counters or none", u.Name, p.Requests, p.Responses)
			}
		}
	}
}

func TestShimWithoutUpstreams(t *testing.T) {
	w := newShimWorld(t, lua.Status{}, 1, "", "        location / { return 204; }\n")
	resp, err := http.Get(strings.TrimSuffix(w.status, lua.StatusPath) + "/other")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("got %d for another path on the page's port, want 404", resp.StatusCode)
	}
	if zones := w.upstreamZones(t); len(zones) != 0 {
		t.Errorf("got %v, want the shim's page without upstreams", zones)
	}
	if _, err := w.client.Status(t.Context()); vts.ReasonOf(err) != vts.ReasonNoUpstream {
		t.Errorf("got %v, want reason %s", err, vts.ReasonNoUpstream)
	}
}
