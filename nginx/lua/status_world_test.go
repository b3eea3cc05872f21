package lua_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
	"trimtab/vts"
)

// statusBackend returns a backend that answers with the status and the redirect that the query asks for.
func statusBackend(t *testing.T) *backend {
	b := newBackend(t)
	b.set(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("accel"); to != "" {
			w.Header().Set("X-Accel-Redirect", to)
			return
		}
		switch r.URL.Query().Get("status") {
		case "500":
			w.WriteHeader(http.StatusInternalServerError)
		case "404":
			w.WriteHeader(http.StatusNotFound)
		}
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("x", 100))
	})
	return b
}

// shimWorld is an NGINX with the shim in front of some backends.
type shimWorld struct {
	*instance.Instance
	url    string // of the proxied server
	status string // of the page
	shim   lua.Status
	config func(upstreams, locations string) string
	client *vts.Client
}

// newShimWorld starts an NGINX with the shim; upstreams and locations go into the http and server blocks.
func newShimWorld(t testing.TB, shim lua.Status, workers int, upstreams, locations string) *shimWorld {
	t.Helper()
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := instance.Binary(t.Context()); errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if !shim.NoMemory {
		needMemory(t)
	}
	dir := t.TempDir()
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	front, page := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	shim.Dir, shim.Listen = dir, page
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &shimWorld{url: "http://" + front, status: "http://" + page + lua.StatusPath, shim: shim}
	w.config = func(upstreams, locations string) string {
		return fmt.Sprintf("%s%sworker_processes %d;\nevents { worker_connections 1024; }\nhttp {\n%s    include "+
			"%s;\n    access_log off;\n%s\n    server {\n        listen %s;\n        server_name "+
			"front;\n%s\n    }\n}\n",
			modules, main, workers, instance.HTTPPaths(dir), shim.HTTPSnippet(), upstreams, front, locations)
	}
	if w.Instance, err = instance.Start(t.Context(), dir, w.config(upstreams, locations), front, page); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	if w.client, err = vts.NewClient(vts.ClientConfig{URL: w.status, Timeout: 20 * time.Second,
		FreshConnections: true}); err != nil {
		t.Fatal(err)
	}
	return w
}

// needMemory skips the test on versions whose memory is not read.
func needMemory(t testing.TB) {
	t.Helper()
	v, err := instance.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if v[0] == 1 && v[1] < 22 {
		t.Skipf("the layout of NGINX %v's memory is not known: it counts by variables", v)
	}
}

// settled returns the first status that done accepts: the workers pass their counts on a moment after the requests.
func (w *shimWorld) settled(t testing.TB, what string, done func(vts.Status) bool) vts.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last vts.Status
	for {
		st, err := w.client.Status(ctx)
		if err == nil {
			last = st
		}
		if err == nil && done(st) {
			return st
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(w.ErrorLog())
			t.Fatalf("%s: not within the time: %v; last %+v\n%s", what, err, last.Upstreams, log)
		case <-tick.C:
		}
	}
}

func peerOf(st vts.Status, group, server string) vts.Peer {
	for _, u := range st.Upstreams {
		if u.Name != group {
			continue
		}
		for _, p := range u.Peers {
			if p.Server == server {
				return p
			}
		}
	}
	return vts.Peer{}
}

// ask sends n requests for path, each on a connection from a pool, and returns the bytes of all bodies.
func ask(t testing.TB, url string, n int) (codes map[int]int) {
	t.Helper()
	codes = map[int]int{}
	for range n {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		codes[resp.StatusCode]++
	}
	return codes
}

// deadAddr is an address that refuses connections.
func deadAddr(t testing.TB) string {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
