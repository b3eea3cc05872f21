package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/live"
)

// The daemon with an objective on a real NGINX: more is asked for than two servers can serve, a share is refused with
// Retry-After, and when telemetry is gone, or the daemon ends, everybody is let in again.
func TestE2EDaemonWithAnObjective(t *testing.T) {
	twoAtATime := func(int) http.HandlerFunc {
		slots := make(chan struct{}, 2)
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
			case <-r.Context().Done():
				return
			}
			<-time.After(25 * time.Millisecond)
			<-slots
			fmt.Fprint(w, "ok")
		}
	}
	b := newBed(t, bedPlan{kind: "live", admission: true, servers: each(2, twoAtATime), daemon: `[objective]
kind = "throughput"
admission = "lua"
status = 429
retry_after = "3s"
watch = "2s"
[[upstream]]
name = "app"
bound = "150ms"
max_blocked = 0.9
`})
	blind := b.pageThatGoes()
	var refused, odd atomic.Int64
	b.ask(250, func(int) bool { return true }, func(resp *http.Response) { // and 160 can be served
		switch {
		case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "3":
			refused.Add(1)
		case resp.StatusCode != http.StatusOK:
			odd.Add(1)
		}
	})
	_, stderr, stop := start(t, "tune", "--config", b.config)
	setter, err := live.New(live.Config{Address: b.control, TokenFile: b.token})
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
	if code := run(t.Context(), []string{"explain", "--config", b.config}, out, errs); code != 0 ||
		!strings.Contains(out.String(), "Objective throughput") {
		t.Errorf("explain: code %d: %s%s", code, out, errs)
	}
	blind.Store(true)
	await(t, "everybody to be let in without telemetry", func() bool { return share() == 0 })
	blind.Store(false)
	await(t, "a share to be refused again", func() bool { return share() > 0.1 })
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

// pageThatGoes puts the daemon's status page behind a proxy that answers 503 while the switch is on.
func (b *bed) pageThatGoes() *atomic.Bool {
	b.t.Helper()
	var gone atomic.Bool
	behind, err := url.Parse(b.page)
	if err != nil {
		b.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = behind.Scheme, behind.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			http.Error(w, "gone", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	b.t.Cleanup(front.Close)
	text, err := os.ReadFile(b.config)
	if err == nil {
		err = os.WriteFile(b.config, bytes.ReplaceAll(text, []byte(b.page), []byte(front.URL+behind.Path)), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return &gone
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

// pursuedBed is a bed of two servers of two slots, which serve 80 requests per second and are asked for 60, or once it
// is full for 120, and whose operator lets 1000 in.
type pursuedBed struct {
	*bed
	stations [2]*station
	full     atomic.Bool // all 120 requests per second are sent, and not half of them
	refused  atomic.Int64
	odd      atomic.Int64
}

// startPursuedBed starts it with a daemon's configuration that ends with the lines of extra.
func startPursuedBed(t *testing.T, extra string) *pursuedBed {
	t.Helper()
	b := &pursuedBed{}
	for i := range b.stations {
		b.stations[i] = newStation(2)
	}
	b.bed = newBed(t, bedPlan{servers: []http.Handler{b.stations[0], b.stations[1]},
		http:     "limit_req_zone $server_name zone=whole:64k rate=1000r/s;",
		location: "limit_req zone=whole burst=50 nodelay;",
		daemon:   "reload_interval = \"100ms\"\nmax_generations = -1\n" + extra})
	for _, s := range b.stations {
		t.Cleanup(func() { s.set(1, true) })
	}
	b.ask(120, func(i int) bool { return i%2 == 0 || b.full.Load() }, func(resp *http.Response) {
		switch resp.StatusCode {
		case http.StatusOK:
		case http.StatusServiceUnavailable:
			b.refused.Add(1)
		default:
			b.odd.Add(1)
		}
	})
	return b
}

// ask sends so many requests per second until the test ends, those that are wanted, and has every answer looked at.
func (b *bed) ask(perSec int, wanted func(i int) bool, look func(*http.Response)) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}
	b.t.Cleanup(func() { cancel(); clients.Wait(); client.CloseIdleConnections() })
	clients.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSec))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !wanted(i) {
				continue
			}
			clients.Go(func() {
				resp, err := client.Get(b.front)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				look(resp)
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
	await(t, "some intervals", func() bool { return b.number("trimtab_steps_total") >= 8 })
	b.full.Store(true)
}

// The controls that need root pass from the process that reads the network to the one that is root: rates of a
// limit_req_zone, and a program that scales. A call by HTTP needs no root.
func TestE2EControlsOfADaemonOfTwoProcesses(t *testing.T) {
	needRoot(t)
	const cost = "[objective]\nkind = \"cost\"\nwatch = \"2s\"\nfixed_weights = true\n[[upstream]]\nname = " +
		"\"app\"\nbound = \"300ms\"\n"
	const servers = "[[scaling.server]]\nname = \"SERVER1\"\nmin = 1\nmax = 6\nslots_per_unit = 2\ncool_down " +
		"= \"1s\"\n" +
		"[[scaling.server]]\nname = \"SERVER2\"\nmin = 1\nmax = 6\nslots_per_unit = 2\ncool_down = \"1s\"\n"
	scaled := func(t *testing.T, b *pursuedBed, log *buffer) {
		t.Helper()
		b.fill(t)
		await(t, "more units", func() bool { return b.stations[0].has()+b.stations[1].has() >= 7 })
		await(t, "the metrics to say so", func() bool {
			return b.number(fmt.Sprintf("trimtab_scaling_units{server=%q}",
				b.servers[0]))*2 == float64(b.stations[0].has())
		})
		await(t, "the bound to hold", func() bool {
			return b.number(`trimtab_objective_held_intervals_total{objective="cost",upstream="app"}`) > 0
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
			"[[upstream]]\nname = \"app\"\nbound = \"300ms\"\nmax_blocked = 0.9\nblock_step = 0.1\nlimit_zone = "+
			"\"whole\"\n")
		cmd, log := b.process("tune", "--config", b.config)
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
		b := startPursuedBed(t, fmt.Sprintf("%s[scaling]\ncommand = [%q]\nask = [%q]\n%s", cost, program, program,
			servers))
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
		_, log := b.process("tune", "--config", b.config)
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
		b = startPursuedBed(t, fmt.Sprintf("%s[scaling]\nurl = \"%s/{server}\"\nget_url = \"%s/{server}\"\n%s", cost,
			hook.URL, hook.URL, servers))
		follow(t, func() {
			for i, s := range b.servers {
				if n, ok := units.Load(s); ok {
					b.stations[i].set(2*n.(int), false)
				}
			}
		})
		_, log := b.process("tune", "--config", b.config)
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
