package lua_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/nginx/lua"
)

const token = "0123456789abcdef0123456789abcdef"

// world is an NGINX with live weights in front of HTTP servers that count their requests.
type world struct {
	*instance.Instance
	t        *testing.T
	live     lua.Live
	url      string
	backends []*backend
}

type backend struct {
	*httptest.Server
	addr   string
	served atomic.Int64
	handle atomic.Pointer[http.HandlerFunc] // nil: answer 200
}

func (b *backend) set(h http.HandlerFunc) { b.handle.Store(&h) }

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.served.Add(1)
		if h := b.handle.Load(); h != nil {
			(*h)(w, r)
			return
		}
		fmt.Fprint(w, b.addr)
	}))
	b.addr = b.Listener.Addr().String()
	t.Cleanup(b.Close)
	return b
}

// start runs NGINX with an upstream "app" whose body is given, %[1]s, %[2]s… standing for the backends' addresses and
// ZONE for the line that the operator adds.
func start(t *testing.T, workers, n int, upstream, location string) *world {
	t.Helper()
	if _, err := instance.LuaModules(); errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	needMemory(t)
	w := &world{t: t}
	args := make([]any, n)
	for i := range n {
		w.backends = append(w.backends, newBackend(t))
		args[i] = w.backends[i].addr
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.live = lua.Live{
		Dir: filepath.Join(dir, "trimtab"), Listen: "unix:" + filepath.Join(dir, "s"),
		TokenFile: filepath.Join(dir, "token"), Servers: n,
		Status: &lua.Status{Listen: "unix:" + filepath.Join(dir, "status")},
	}
	files, err := w.live.Files()
	if err != nil {
		t.Fatal(err)
	}
	files[w.live.TokenFile] = token + "\n"
	if err := os.Mkdir(w.live.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	w.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	w.Instance, err = instance.Start(t.Context(), dir, w.config(dir, workers, fmt.Sprintf(upstream, args...), location,
		ports[0]), strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Stop()
		if t.Failed() {
			log, _ := os.ReadFile(w.ErrorLog())
			t.Logf("error log:\n%s", log)
		}
	})
	return w
}

func (w *world) config(dir string, workers int, upstream, location string, port int) string {
	main, err := instance.Prepare(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	modules, err := instance.LuaModules()
	if err != nil {
		w.t.Skip(err)
	}
	upstream = strings.Replace(upstream, "ZONE", lua.ZoneLine("app", strings.Count(upstream, "server ")), 1)
	return modules + main + fmt.Sprintf(`worker_processes %d;
events { worker_connections 512; }
http {
    access_log off;
%s    include %s;
    upstream app {
        %s
    }
    server {
        listen 127.0.0.1:%d;
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; %s }
        location /fallback { proxy_pass http://app/; }
    }
}
`, workers, instance.HTTPPaths(dir), w.live.HTTPSnippet(), upstream, port, location)
}

// control makes the control call and returns status and body.
func (w *world) control(method, body, bearer string) (int, string) {
	w.t.Helper()
	return w.call(w.live.Listen, lua.LivePath, method, body, bearer)
}

func (w *world) call(listen, path, method, body, bearer string) (int, string) {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		Dial: func(string, string) (net.Conn, error) {
			return net.Dial("unix", strings.TrimPrefix(listen, "unix:"))
		},
	}, Timeout: 20 * time.Second}
	req, err := http.NewRequest(method, "http://trimtab"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// put sets weights, given as one line per backend.
func (w *world) put(lines ...string) {
	w.t.Helper()
	for i := range lines {
		lines[i] = "app " + w.backends[i].addr + " " + lines[i]
	}
	eventually(w.t, "a worker of the newest configuration takes the call", func() bool {
		status, text := w.control("PUT", strings.Join(lines, "\n"), token)
		if status != 200 && (status != 503 || !strings.Contains(text, `"again":true`)) {
			w.t.Fatalf("PUT: got %d %s", status, text)
		}
		return status == 200
	})
}

type state struct{ Upstreams map[string]group }

type group struct {
	Live, Set, Outdated bool
	Why, Method         string
	Servers             []struct {
		Server                string
		Weight, Fails, Active int
		Down                  bool
	}
}

// state asks until a worker of the newest configuration answers.
func (w *world) state() (s state) {
	w.t.Helper()
	eventually(w.t, "an answer", func() bool {
		status, text := w.control("GET", "", token)
		if status == 503 && strings.Contains(text, `"again":true`) {
			return false
		}
		if status != 200 {
			w.t.Fatalf("GET: got %d %s", status, text)
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			w.t.Fatalf("GET: %v in %s", err, text)
		}
		return true
	})
	return s
}

// get sends n requests one after the other and returns how many each backend served, and how many were not 200.
func (w *world) get(n int) (served []int64, bad int) {
	w.t.Helper()
	before := make([]int64, len(w.backends))
	for i, b := range w.backends {
		before[i] = b.served.Load()
	}
	for range n {
		resp, err := http.Get(w.url)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			bad++
		}
	}
	for i, b := range w.backends {
		served = append(served, b.served.Load()-before[i])
	}
	return served, bad
}

func TestWeightsCountFromTheNextRequest(t *testing.T) {
	w := start(t, 1, 2, "server %s weight=3; server %s; ZONE keepalive 4;", "")
	if got, bad := w.get(40); got[0] != 30 || got[1] != 10 || bad != 0 {
		t.Errorf("weights of the file: got %v, %d bad, want 30 and 10", got, bad)
	}
	w.put("1 up", "4 up")
	if got, bad := w.get(50); got[0] != 10 || got[1] != 40 || bad != 0 {
		t.Errorf("weights 1 and 4: got %v, %d bad, want 10 and 40", got, bad)
	}
	w.put("1 down", "4 up")
	if got, bad := w.get(20); got[0] != 0 || got[1] != 20 || bad != 0 {
		t.Errorf("first server down: got %v, %d bad, want 0 and 20", got, bad)
	}
	if s := w.state().Upstreams["app"]; !s.Live || !s.Servers[0].Down || s.Servers[1].Weight != 4 {
		t.Errorf("state: got %+v", s)
	}
	_, page := w.call(w.live.Status.Listen, lua.StatusPath, "GET", "", "")
	for i, want := range []string{`"weight":1,"maxFails":1,"failTimeout":10,"backup":false,"down":true`,
		`"weight":4,"maxFails":1,"failTimeout":10,"backup":false,"down":false`} {
		if _, peer, _ := strings.Cut(page,
			`{"server":"`+w.backends[i].addr+`","requestCounter":`); !strings.HasPrefix(peer[max(0,
			strings.Index(peer, `"weight"`)):], want) || strings.HasPrefix(peer, "0,") {
			t.Errorf("status page: server %d of %s, want its requests and %s", i, page, want)
		}
	}
	if status, text := w.control("DELETE", "", token); status != 200 {
		t.Errorf("DELETE: got %d %s", status, text)
	}
	if got, _ := w.get(40); got[0] != 30 {
		t.Errorf("back to the file's weights: got %v, want 30 and 10", got)
	}
}
