package live_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
)

// gate is an NGINX with admission of upstream app in front of a server that counts, and of upstream other without.
type gate struct {
	*instance.Instance
	url    string
	call   *live.Actuator
	served atomic.Int64
}

func newGate(t *testing.T) *gate {
	t.Helper()
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { g.served.Add(1) }))
	t.Cleanup(backend.Close)
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	l := lua.Live{Dir: filepath.Join(dir, "lua"), Listen: fmt.Sprintf("127.0.0.1:%d", ports[1]),
		TokenFile: filepath.Join(dir, "lua", "token"),
		Admission: []string{"app"}}
	files, err := l.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.TokenFile, []byte(strings.Repeat("t", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(backend.URL, "http://")
	conf := fmt.Sprintf(`%s%sworker_processes 2;
events {}
http {
%s    include %s;
    upstream app { zone app 64k; server %s; }
    upstream other { zone other 64k; server %s; }
    server {
        listen 127.0.0.1:%d;
        location / { include %s; proxy_pass http://app; }
        location /other { proxy_pass http://other; }
    }
}
`, modules, main, instance.HTTPPaths(dir), l.HTTPSnippet(), address, address, ports[0], l.AdmissionSnippet("app"))
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	if g.Instance, err = instance.Start(t.Context(), dir, conf, listen); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	g.url = "http://" + listen
	if g.call, err = live.New(live.Config{Address: l.Listen, TokenFile: l.TokenFile}); err != nil {
		t.Fatal(err)
	}
	return g
}

// ask sends n requests and says how many were answered 200, and the others' status and Retry-After.
func (g *gate) ask(t *testing.T, path string, n int) (ok int, status int, retry string) {
	t.Helper()
	for range n {
		resp, err := http.Get(g.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			ok++
			continue
		}
		status, retry = resp.StatusCode, resp.Header.Get("Retry-After")
	}
	return ok, status, retry
}

func TestAdmissionInNGINX(t *testing.T) {
	g := newGate(t)
	const n = 1000
	for _, c := range []struct {
		name   string
		a      live.Admission
		share  float64
		status int
		retry  string
	}{
		{"a third is refused with 503", live.Admission{}, 1.0 / 3, 503, "1"},
		{"all of it with 429 and a pause of 7 s", live.Admission{Status: 429, RetryAfter: 7 * time.Second}, 1, 429,
			"7"},
		{"nobody", live.Admission{}, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.a.Actuator = g.call
			if err := c.a.Admit(t.Context(), map[string]float64{"app": c.share}); err != nil {
				t.Fatal(err)
			}
			before, err := c.a.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			served := g.served.Load()
			ok, status, retry := g.ask(t, "/", n)
			if got := 1 - float64(ok)/n; math.Abs(got-c.share) > 4*math.Sqrt(c.share*(1-c.share)/n) {
				t.Errorf("%.3f of the requests were refused, want %.3f", got, c.share)
			}
			if status != c.status || retry != c.retry {
				t.Errorf("refused with %d and Retry-After %q, want %d and %q", status, retry, c.status, c.retry)
			}
			if got := g.served.Load() - served; got != int64(ok) {
				t.Errorf("%d requests reached the server, %d were answered: what is refused must not reach it", got, ok)
			}
			after, err := c.a.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if o, r := after["app"].Offered-before["app"].Offered, after["app"].Refused-before["app"].Refused; o != n ||
				r != uint64(n-ok) {
				t.Errorf("it counts %d offered and %d refused, want %d and %d", o, r, n, n-ok)
			}
		})
	}
	if err := (live.Admission{Actuator: g.call}).Admit(t.Context(), map[string]float64{"app": 1}); err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := g.ask(t, "/other", 50); ok != 50 {
		t.Errorf("%d of 50 requests to an upstream without admission were let in, want all", ok)
	}
	if err := (live.Admission{Actuator: g.call}).Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := g.ask(t, "/", 50); ok != 50 {
		t.Errorf("%d of 50 requests after a release were let in, want all", ok)
	}
}

// When whoever set a share falls silent, everybody is let in.
func TestAdmissionEndsBySilence(t *testing.T) {
	g := newGate(t)
	a := live.Admission{Actuator: g.call, Hold: 300 * time.Millisecond}
	if err := a.Admit(t.Context(), map[string]float64{"app": 1}); err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := g.ask(t, "/", 5); ok != 0 {
		t.Fatalf("%d of 5 were let in while all are refused", ok)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		if ok, _, _ := g.ask(t, "/", 1); ok == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("all are still refused, seconds after nobody said so any more")
		}
	}
}

func TestAdmissionThatIsRefused(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		name    string
		a       live.Admission
		blocked map[string]float64
		want    string
	}{
		{"an upstream without admission", live.Admission{}, map[string]float64{"other": 0.1}, "install again"},
		{"more than everything", live.Admission{}, map[string]float64{"app": 1.5}, "0 to 1"},
		{"no number", live.Admission{}, map[string]float64{"app": math.NaN()}, "0 to 1"},
		{"another status", live.Admission{Status: 418}, map[string]float64{"app": 0.1}, "503|429"},
		{"for a day", live.Admission{Hold: 24 * time.Hour}, map[string]float64{"app": 0.1}, "hour"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.a.Actuator = g.call
			err := c.a.Admit(t.Context(), c.blocked)
			if refusal := (*nginx.Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
		})
	}
	if ok, _, _ := g.ask(t, "/", 20); ok != 20 {
		t.Errorf("%d of 20 requests were let in, want all: nothing was set", ok)
	}
}
