package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/nginx/instance"
	"trimtab/nginx/live"
)

// The daemon with an objective on a real NGINX: more is asked for than two servers can serve, a share is refused with Retry-After, and when the
// daemon ends everybody is let in again.
func TestE2EDaemonWithAnObjective(t *testing.T) {
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
	for range 2 {
		slots := make(chan struct{}, 2)
		b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
			case <-r.Context().Done():
				return
			}
			<-time.After(25 * time.Millisecond)
			<-slots
			fmt.Fprint(w, "ok")
		}))
		defer b.Close()
		servers = append(servers, b.Listener.Addr().String())
	}
	prepared, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := func(first, inLocation, second string) string {
		return modules + prepared + fmt.Sprintf("worker_rlimit_nofile 20000;\nevents { worker_connections 8000; }\nhttp {\n%s%s\nupstream app { server %s; server %s; %s }\nserver { listen %s; location / { %s proxy_pass http://app; } }\n}\n",
			instance.HTTPPaths(dir), first, servers[0], servers[1], second, front, inLocation)
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(text("", "", "")), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr := new(buffer), new(buffer)
	if code := run(t.Context(), []string{"nginx", "live", "install", "-c", conf, "--listen", control, "--status-listen", status, "--admission", "app"}, stdout, stderr); code != 0 {
		t.Fatalf("install: code %d: %s", code, stderr)
	}
	var lines []string
	for line := range strings.Lines(stdout.String()) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "include ") || strings.HasPrefix(line, "zone ") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 || !strings.Contains(lines[1], "admission-app.conf") {
		t.Fatalf("install: got %s, want three lines to add", stdout)
	}
	proxy, err := instance.Start(t.Context(), dir, text(lines[0], lines[1], lines[2]), front)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Stop()
	token := filepath.Join(dir, "trimtab", "token")
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
[objective]
kind = "throughput"
admission = "lua"
status = 429
retry_after = "3s"
watch = "2s"
[[upstream]]
name = "app"
bound = "150ms"
max_blocked = 0.9
`, filepath.Join(dir, "state"), metrics, status, conf, control, token)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var refused, odd atomic.Int64
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}
	clients.Go(func() {
		tick := time.NewTicker(4 * time.Millisecond) // 250 per second, 160 can be served
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			clients.Go(func() {
				resp, err := client.Get("http://" + front)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				switch {
				case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "3":
					refused.Add(1)
				case resp.StatusCode != http.StatusOK:
					odd.Add(1)
				}
			})
		}
	})
	defer client.CloseIdleConnections()
	defer clients.Wait()
	defer cancel()
	_, stderr, stop := start(t, "tune", "--config", config)
	setter, err := live.New(live.Config{Address: control, TokenFile: token})
	if err != nil {
		t.Fatal(err)
	}
	share := func() float64 {
		s, err := (live.Admission{Actuator: setter}).State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s["app"].Share
	}
	await(t, "a share to be refused", func() bool { return share() > 0.1 && share() <= 0.9 && refused.Load() > 20 })
	out, errs := new(buffer), new(buffer)
	if code := run(t.Context(), []string{"explain", "--config", config}, out, errs); code != 0 || !strings.Contains(out.String(), "Objective throughput") {
		t.Errorf("explain: code %d: %s%s", code, out, errs)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d: %s", code, stderr)
	}
	if got := share(); got != 0 {
		t.Errorf("%v is refused after the daemon has ended: %s", got, stderr)
	}
	if n := odd.Load(); n > 0 {
		t.Errorf("%d answers were neither 200 nor the refusal", n)
	}
}
