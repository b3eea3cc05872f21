package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/nginx/live"
)

// The daemon with the live actuator: weights change, nginx.conf does not, nothing is reloaded or lost.
func TestE2EDaemonWithLiveWeights(t *testing.T) {
	needNGINX(t)
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	ports, err := instance.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	front, control, status, metrics := addr(0), addr(1), addr(2), addr(3)
	var servers []string
	for _, delay := range []time.Duration{40 * time.Millisecond, 4 * time.Millisecond} {
		b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(delay)
			fmt.Fprint(w, "ok")
		}))
		defer b.Close()
		servers = append(servers, b.Listener.Addr().String())
	}
	prepared, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := func(first, second string) string {
		return modules + prepared + fmt.Sprintf("events {}\nhttp {\n%s%s\nupstream app { server %s; server %s; %s "+
			"}\nserver { listen %s; location / { proxy_pass http://app; } }\n}\n",
			instance.HTTPPaths(dir), first, servers[0], servers[1], second, front)
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text("", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := new(buffer), new(buffer)
	if code := run(t.Context(), []string{"nginx", "live", "install", "-c", conf, "--listen", control, "--status-listen",
		status}, stdout, stderr); code != 0 {
		t.Fatalf("install: code %d: %s", code, stderr)
	}
	var lines []string
	for line := range strings.Lines(stdout.String()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "include ") || strings.HasPrefix(line, "zone ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("install: got %s, want two lines to add", stdout)
	}
	with := text(lines[0], lines[1])
	proxy, err := instance.Start(t.Context(), dir, with, front)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Stop()

	config := filepath.Join(dir, "trimtab.toml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`interval = "1s"
state_dir = %q
listen = %q
observe_first = "0s"
[status]
url = "http://%s/status/format/json"
poll = "200ms"
[nginx]
config = %q
[actuator]
kind = "live"
address = %q
token_file = %q
[tuner]
learner = "l3"
`, filepath.Join(dir, "state"), metrics, status, conf, control, filepath.Join(dir, "trimtab", "token"))), 0o600); err != nil {
		t.Fatal(err)
	}
	done, failed := make(chan struct{}), make(chan error, 1)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := http.Post("http://"+front, "text/plain", strings.NewReader("x"))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if resp.StatusCode == 200 {
						continue
					}
					err = errors.New(resp.Status)
				}
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	_, stderr, stop := start(t, "tune", "--config", config, "--on-exit", "restore")
	actuator, err := live.New(live.Config{Address: control, TokenFile: filepath.Join(dir, "trimtab", "token")})
	if err != nil {
		t.Fatal(err)
	}
	weights := func() (w []int) {
		s, err := actuator.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range s.Upstreams["app"].Servers {
			w = append(w, o.Weight)
		}
		return w
	}
	await(t, "the faster server to get more", func() bool { w := weights(); return w[1] > w[0] })
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d: %s", code, stderr)
	}
	if w := weights(); w[0] != w[1] {
		t.Errorf("--on-exit restore: got %v, want equal weights: %s", w, stderr)
	}
	close(done)
	clients.Wait()
	select {
	case err := <-failed:
		t.Errorf("a request was lost: %v", err)
	default:
	}
	if now, err := os.ReadFile(conf); err != nil || string(now) != with {
		t.Errorf("nginx.conf was changed (%v)", err)
	}
}
