package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
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

// station is a server of so many slots, 50 ms a request.
type station struct {
	mu          sync.Mutex
	free        sync.Cond
	busy, slots int
	closing     bool
}

func newStation(slots int) *station {
	s := &station{slots: slots}
	s.free.L = &s.mu
	return s
}

func (s *station) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	for s.busy >= s.slots && !s.closing {
		s.free.Wait()
	}
	s.busy++
	closing := s.closing
	s.mu.Unlock()
	if !closing {
		<-time.After(50 * time.Millisecond)
	}
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
	s.free.Signal()
	fmt.Fprint(w, "ok")
}

// set has it have so many slots; with closing nobody waits any more.
func (s *station) set(slots int, closing bool) {
	s.mu.Lock()
	s.slots, s.closing = slots, closing
	s.mu.Unlock()
	s.free.Broadcast()
}

// has says how many slots it has.
func (s *station) has() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots
}

// pursuedBed is an NGINX of two servers of two slots, which serve 80 requests per second and are asked for 60, or once it is
// full for 120, and whose operator lets 1000 in. Its status page is the Lua shim's.
type pursuedBed struct {
	*instance.Instance
	dir, metrics, config string
	servers              []string
	stations             [2]*station
	full                 atomic.Bool // all 120 requests per second are sent, and not half of them
	refused              atomic.Int64
	odd                  atomic.Int64
}

// startPursuedBed starts it with a daemon's configuration that ends with the lines of extra. SERVER1 and SERVER2 in them are the servers.
func startPursuedBed(t *testing.T, extra string) *pursuedBed {
	t.Helper()
	needNGINX(t)
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	ports, err := instance.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	front, status := addr(0), addr(1)
	b := &pursuedBed{dir: dir, metrics: addr(2), config: filepath.Join(dir, "trimtab.toml")}
	for i := range b.stations {
		b.stations[i] = newStation(2)
		server := httptest.NewServer(b.stations[i])
		t.Cleanup(server.Close)
		t.Cleanup(func() { b.stations[i].set(1, true) })
		b.servers = append(b.servers, server.Listener.Addr().String())
	}
	shim := lua.Status{Dir: filepath.Join(dir, "lua"), Listen: status}
	files, err := shim.Files()
	if err == nil {
		err = installFiles(shim.Dir, files)
	}
	if err != nil {
		t.Fatal(err)
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := modules + main + fmt.Sprintf("worker_rlimit_nofile 20000;\nevents { worker_connections 8000; }\nhttp {\n%saccess_log off;\ninclude %s;\n"+
		"limit_req_zone $server_name zone=whole:64k rate=1000r/s;\nupstream app { server %s; server %s; }\n"+
		"server { listen %s; location / { limit_req zone=whole burst=50 nodelay; proxy_pass http://app; } }\n}\n",
		instance.HTTPPaths(dir), shim.HTTPSnippet(), b.servers[0], b.servers[1], front)
	if b.Instance, err = instance.Start(t.Context(), dir, text, front, status); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	extra = strings.NewReplacer("SERVER1", b.servers[0], "SERVER2", b.servers[1]).Replace(extra)
	if err := os.WriteFile(b.config, fmt.Appendf(nil, `interval = "1s"
state_dir = %q
listen = %q
observe_first = "0s"
[status]
url = "http://%s%s"
poll = "200ms"
[nginx]
config = %q
binary = %q
prefix = %q
pid_file = %q
[actuator]
interval = "100ms"
max_generations = -1
%s`, filepath.Join(dir, "state"), b.metrics, status, lua.StatusPath, b.Config, b.Binary, b.Dir, b.PIDFile(), extra), 0o600); err != nil {
		t.Fatal(err)
	}
	b.load(t, front)
	return b
}

// load sends requests until the test ends.
func (b *pursuedBed) load(t *testing.T, front string) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}
	t.Cleanup(func() { cancel(); clients.Wait(); client.CloseIdleConnections() })
	clients.Go(func() {
		tick := time.NewTicker(time.Second / 120)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if i%2 == 1 && !b.full.Load() {
				continue
			}
			clients.Go(func() {
				resp, err := client.Get("http://" + front)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusOK:
				case http.StatusServiceUnavailable:
					b.refused.Add(1)
				default:
					b.odd.Add(1)
				}
			})
		}
	})
}

// rate is that of the operator's zone as it stands in the file.
func (b *pursuedBed) rate(t *testing.T) int {
	t.Helper()
	cfg, err := nginx.ReadConfig(b.Config)
	if err != nil || len(cfg.Limits) != 1 {
		t.Fatalf("got %v, want one limit_req_zone", err)
	}
	return cfg.Limits[0].Rate
}

// fill has the daemon see some intervals that can be served, and then more than can be.
func (b *pursuedBed) fill(t *testing.T) {
	t.Helper()
	await(t, "some intervals", func() bool { return b.metric("trimtab_steps_total") >= 8 })
	b.full.Store(true)
}

// metric is the value of a series.
func (b *pursuedBed) metric(series string) float64 {
	bed := &tunedBed{listen: b.metrics}
	v, _ := strconv.ParseFloat(bed.metric(series), 64)
	return v
}

// The controls that need root pass from the process that reads the network to the one that is root: rates of a
// limit_req_zone, and a program that scales. A call by HTTP needs no root.
func TestE2EControlsOfADaemonOfTwoProcesses(t *testing.T) {
	needRoot(t)
	start := func(t *testing.T, b *pursuedBed) (*exec.Cmd, *buffer) {
		t.Helper()
		bed := &tunedBed{t: t}
		return bed.process("tune", "--config", b.config)
	}
	const cost = "[objective]\nkind = \"cost\"\nwatch = \"2s\"\nfixed_weights = true\n[[upstream]]\nname = \"app\"\nbound = \"300ms\"\n"
	const servers = "[[scaling.server]]\nname = \"SERVER1\"\nmin = 1\nmax = 6\nslots_per_unit = 2\ncool_down = \"1s\"\n" +
		"[[scaling.server]]\nname = \"SERVER2\"\nmin = 1\nmax = 6\nslots_per_unit = 2\ncool_down = \"1s\"\n"
	scaled := func(t *testing.T, b *pursuedBed, log *buffer) {
		t.Helper()
		b.fill(t)
		await(t, "more units", func() bool { return b.stations[0].has()+b.stations[1].has() >= 7 })
		await(t, "the metrics to say so", func() bool {
			return b.metric(fmt.Sprintf("trimtab_scaling_units{server=%q}", b.servers[0]))*2 == float64(b.stations[0].has())
		})
		await(t, "the bound to hold", func() bool {
			return b.metric(`trimtab_objective_held_intervals_total{objective="cost",upstream="app"}`) > 0
		})
		for i := range b.stations {
			if n := b.stations[i].has(); n > 12 {
				t.Errorf("server %d has %d slots, beyond its 6 units: %s", i, n, log)
			}
		}
	}
	t.Run("rates of a limit_req_zone", func(t *testing.T) {
		t.Parallel()
		b := startPursuedBed(t, "[objective]\nkind = \"throughput\"\nadmission = \"rate\"\nwatch = \"2s\"\n"+
			"[[upstream]]\nname = \"app\"\nbound = \"300ms\"\nmax_blocked = 0.9\nblock_step = 0.1\nlimit_zone = \"whole\"\n")
		cmd, log := start(t, b)
		worker := workerOf(t, cmd)
		b.fill(t)
		await(t, "a smaller rate", func() bool { r := b.rate(t); return r >= 5 && r < 1000 })
		if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the operator's rate after the worker's end", func() bool { return b.rate(t) == 1000 })
		if err := cmd.Wait(); err == nil {
			t.Errorf("the daemon ended well without its worker: %s", log)
		}
		if n := b.odd.Load(); n > 0 {
			t.Errorf("%d answers were neither 200 nor the refusal", n)
		}
	})
	t.Run("a program that scales", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		program := filepath.Join(dir, "resize")
		if err := os.WriteFile(program, []byte("#!/bin/sh\nif [ $# = 2 ]; then id -u >>"+dir+"/as; echo $2 >"+dir+"/$1; fi\ncat "+dir+"/$1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		b := startPursuedBed(t, fmt.Sprintf("%s[scaling]\ncommand = [%q]\nask = [%q]\n%s", cost, program, program, servers))
		for _, s := range b.servers {
			if err := os.WriteFile(filepath.Join(dir, s), []byte("1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		follow(t, func() {
			for i, s := range b.servers {
				text, _ := os.ReadFile(filepath.Join(dir, s))
				if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
					b.stations[i].set(2*n, false)
				}
			}
		})
		_, log := start(t, b)
		scaled(t, b, log)
		if as, _ := os.ReadFile(filepath.Join(dir, "as")); !strings.HasPrefix(string(as), "0\n") {
			t.Errorf("the program ran as %q, want root", as)
		}
	})
	t.Run("a call that scales", func(t *testing.T) {
		t.Parallel()
		var b *pursuedBed
		var units sync.Map
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			server := strings.TrimPrefix(r.URL.Path, "/")
			if r.Method == http.MethodPut {
				var body struct{ Units int }
				if json.NewDecoder(r.Body).Decode(&body) != nil {
					http.Error(w, "want units", http.StatusBadRequest)
					return
				}
				units.Store(server, body.Units)
			}
			n, ok := units.Load(server)
			if !ok {
				n = 1
			}
			fmt.Fprintf(w, `{"units": %d}`, n)
		}))
		defer hook.Close()
		b = startPursuedBed(t, fmt.Sprintf("%s[scaling]\nurl = \"%s/{server}\"\nget_url = \"%s/{server}\"\n%s", cost, hook.URL, hook.URL, servers))
		follow(t, func() {
			for i, s := range b.servers {
				if n, ok := units.Load(s); ok {
					b.stations[i].set(2*n.(int), false)
				}
			}
		})
		_, log := start(t, b)
		scaled(t, b, log)
	})
}

// follow calls f again and again until the test ends.
func follow(t *testing.T, f func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				f()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}
