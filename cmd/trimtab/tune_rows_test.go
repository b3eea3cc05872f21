package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"trimtab/daemon"
	"trimtab/nginx"
)

// group is what an upstream of the configuration says of its servers: weights by address, as written.
func (b *tunedBed) group(name string) map[string]int {
	b.t.Helper()
	cfg, err := nginx.ReadConfig(b.NGINX.Config)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]int{}
	for _, u := range cfg.Upstreams {
		if u.Name != name {
			continue
		}
		for _, p := range u.Peers {
			out[p.Server] = p.Weight
		}
	}
	return out
}

// A server to which nobody can connect shows 0 requests, as one does that nobody chooses: it is not taken for a good
// one.
func TestE2EDaemonDeadPeerShowsNoRequests(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().String()
	dead.Close() // nobody else gets the port within the test: it was given out a moment ago
	a := b.Backends.Addr("a")
	b.edit(func(text string) string {
		return strings.Replace(text, "server "+a, "server "+address+";\nserver "+a, 1)
	})
	b.load()
	_, log, stop := start(t, "tune", "--config", b.config)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log)
		}
	})
	await(t, "the dead server on the metrics page", func() bool {
		return b.metric(fmt.Sprintf(`trimtab_weight{server="%s",upstream="compose_backend"}`, address)) != ""
	})
	await(t, "a change", b.counted("trimtab_changes_total"))
	from := b.number("trimtab_steps_total")
	await(t, "twenty more steps", func() bool { return b.number("trimtab_steps_total") >= from+20 })
	now, most := b.group("compose_backend"), 0
	for server, weight := range now {
		if server != address {
			most = max(most, weight)
		}
	}
	if now[address] > most {
		t.Errorf("weights %v: the dead server %s is believed in: %s", now, address, log)
	}
	if n := b.metric(fmt.Sprintf(`trimtab_requests_per_second{server="%s",upstream="compose_backend"}`,
		address)); n == "" {
		t.Error("the dead server is not shown")
	}
	b.goesOn()
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
}

// moduleOf is nginx-module-vts' page of what another page shows: servers that failed are down on it, until NGINX tries
// them again.
type moduleOf struct {
	target string
	failed map[string]bool
}

func (p *moduleOf) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	resp, err := http.Get(p.target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	var page map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	page["moduleVersion"] = "v0.2.7"
	zones, _ := page["upstreamZones"].(map[string]any)
	for _, group := range zones {
		rows, _ := group.([]any)
		for _, row := range rows {
			if peer, ok := row.(map[string]any); ok && p.failed[fmt.Sprint(peer["server"])] {
				peer["down"] = true
			}
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

// A server that the module's page calls down because NGINX passes over it is not taken for one that somebody has marked
// down: the mark is not written into the configuration, where it would outlast the failure, nobody is said to have
// edited anything, and changes are confirmed.
func TestE2EDaemonServerThatTheModuleCallsDown(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := dead.Addr().String()
	dead.Close() // nobody else gets the port within the test: it was given out a moment ago
	server := httptest.NewServer(&moduleOf{b.StatusURL, map[string]bool{address: true}})
	defer server.Close()
	b.StatusURL, b.proxied = server.URL, true
	b.configure("")
	a, wrong := b.Backends.Addr("a"), b.Backends.Addr("b")
	b.edit(func(text string) string {
		lines := strings.SplitAfter(text, "\n")
		for i, line := range lines {
			switch {
			case strings.Contains(line, "server "+a):
				lines[i] = "server " + address + ";\n" + line
			case strings.Contains(line, "server "+wrong):
				lines[i] = "server " + wrong + " weight=9;\n" // more than it can serve: a change pays
			}
		}
		return strings.Join(lines, "")
	})
	b.load()
	_, log, stop := start(t, "tune", "--config", b.config)
	await(t, "a change", b.counted("trimtab_changes_total"))
	b.goesOn()
	if text := string(b.read(b.NGINX.Config)); strings.Contains(text, " down;") {
		t.Errorf("a server was marked down in the configuration: %s\n%s", text, log)
	}
	if n := b.number("trimtab_operator_edits_total"); n != 0 {
		t.Errorf("got %g edits of the operator, want none: %s", n, log)
	}
	if down := b.metric(fmt.Sprintf(`trimtab_down{server="%s",upstream="compose_backend"}`, address)); down != "0" {
		t.Errorf("got %q for whether it is marked down, want 0", down)
	}
	if strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "change failed") {
		t.Errorf("a change was refused or not confirmed: %s", log)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
}

// A backup server stays what it is: it gets no share, and its line stays as it was written.
func TestE2EDaemonBackupPeers(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	a, c := b.Backends.Addr("a"), b.Backends.Addr("c")
	b.edit(func(text string) string {
		lines := strings.SplitAfter(text, "\n")
		for i, line := range lines {
			if strings.Contains(line, "server "+a) {
				lines[i] = "server " + a + " weight=5 backup;\n"
			}
			if strings.Contains(line, "server "+b.Backends.Addr("b")) {
				lines[i] = "server " + b.Backends.Addr("b") + " weight=9;\n" // more than it can serve: a change pays
			}
		}
		return strings.Join(lines, "")
	})
	b.load()
	_, log, stop := start(t, "tune", "--config", b.config)
	await(t, "a change", b.counted("trimtab_changes_total"))
	b.goesOn()
	if now := b.group("compose_backend"); now[a] != 5 || 9*now[c] <= now[b.Backends.Addr("b")] {
		t.Errorf("got weights %v, want the backup's 5 and more for %s than a ninth: %s", now, c, log)
	}
	if b.metric(fmt.Sprintf(`trimtab_weight{server="%s",upstream="compose_backend"}`, a)) != "" ||
		strings.Contains(log.String(), a) {
		t.Errorf("the backup is tuned: %s", log)
	}
	text, err := os.ReadFile(b.NGINX.Config)
	if err != nil || !strings.Contains(string(text), "server "+a+" weight=5 backup;") {
		t.Errorf("the backup's line was changed: %v: %s", err, text)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
}

// The state of a newer program is put aside, whole, and the daemon begins on the weights in force.
func TestE2EDaemonStateOfANewerProgram(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	b.load()
	_, _, stop := start(t, "tune", "--config", b.config)
	await(t, "steps", b.counted("trimtab_steps_total"))
	await(t, "readiness", func() bool { code, _ := b.get("/readyz"); return code == 200 })
	if code := stop(); code != 0 {
		t.Fatalf("stopped: code %d", code)
	}
	path := b.kept("tuner.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(strconv.Itoa(daemon.StateVersion+1)))
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	newer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := b.weights()
	_, log, _ := start(t, "tune", "--config", b.config, "--observe")
	await(t, "the quarantine", func() bool { return b.metric("trimtab_state_quarantined_total") == "1" })
	b.goesOn()
	aside, _ := filepath.Glob(path + ".newer-*")
	if len(aside) != 1 {
		t.Fatalf("put aside: got %v, want one file: %s", aside, log)
	}
	if text, err := os.ReadFile(aside[0]); err != nil || string(text) != string(newer) {
		t.Errorf("what was put aside is not what was there: %v", err)
	}
	if now := b.weights(); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("weights %v, want those in force, %v", now, before)
	}
}

// A port that somebody else has taken does not keep the daemon from its work.
func TestE2EDaemonWhosePortIsTaken(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	taken, err := net.Listen("tcp", b.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	b.load()
	before := b.weights()
	_, log, stop := start(t, "tune", "--config", b.config)
	await(t, "a change without anybody to ask", func() bool { return fmt.Sprint(b.weights()) != fmt.Sprint(before) })
	if !strings.Contains(log.String(), "not listening") {
		t.Errorf("the log does not say that nobody can ask: %s", log)
	}
	taken.Close()
	await(t, "the port", func() bool { code, _ := b.get("/healthz"); return code == 200 })
	if _, text := b.get("/readyz"); !strings.Contains(text, "listen: ") {
		t.Errorf("readyz: got %s, want that it could not listen", text)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped: code %d", code)
	}
}

// The kernel's queue of signs overflows while the one who watches is stopped: the edit is noticed all the same.
func TestE2EDaemonWhoseNotifierOverflows(t *testing.T) {
	most, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip(err)
	}
	queue, err := strconv.Atoi(strings.TrimSpace(string(most)))
	if err != nil || queue > 1<<17 {
		t.Skipf("a queue of %s signs is not filled in a test", most)
	}
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	b.configure("")
	cmd, log := b.process("tune", "--config", b.config, "--observe")
	await(t, "the first steps", b.counted("trimtab_nginx_workers"))
	b.write(b.NGINX.Config, append(b.read(b.NGINX.Config), "# first\n"...))
	await(t, "an edit, so that it is watched", b.counted("trimtab_nginx_config_edits_total"))
	edits := b.number("trimtab_nginx_config_edits_total")
	b.signal(cmd, syscall.SIGSTOP)
	await(t, "that it stands still", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	scratch := filepath.Join(b.NGINX.Dir, "scratch")
	for range queue/2 + 1000 { // each is made and taken away: two signs
		f, err := os.OpenFile(scratch, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if err := os.Remove(scratch); err != nil {
			t.Fatal(err)
		}
	}
	b.write(b.NGINX.Config, append(b.read(b.NGINX.Config), "# second\n"...))
	b.signal(cmd, syscall.SIGCONT)
	await(t, "the edit", func() bool { return b.number("trimtab_nginx_config_edits_total") > edits })
	if !strings.Contains(log.String(), "queue or buffer overflow") {
		t.Errorf("the queue did not overflow: %s", log)
	}
}

func (b *tunedBed) read(path string) []byte {
	b.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// hostClock is a status page as it were had the clock of the host been set: what was loaded before shows the time of
// before.
type hostClock struct {
	target string
	ahead  atomic.Int64 // ns

	mu     sync.Mutex
	loaded map[int64]int64 // ms, as NGINX says it and as the page shows it
}

func (p *hostClock) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	resp, err := http.Get(p.target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	ahead := time.Duration(p.ahead.Load()).Milliseconds()
	_, _ = w.Write(clocks.ReplaceAllFunc(text, func(m []byte) []byte {
		part := clocks.FindSubmatch(m)
		ms, _ := strconv.ParseInt(string(part[2]), 10, 64)
		if string(part[1]) == "nowMsec" {
			return fmt.Appendf(nil, `"nowMsec":%d`, ms+ahead)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, ok := p.loaded[ms]; !ok {
			p.loaded[ms] = ms + ahead
		}
		return fmt.Appendf(nil, `"loadMsec":%d`, p.loaded[ms])
	}))
}

// The clock of the host, NGINX's and the daemon's, is set ahead by an hour and back: changes go on being made and
// confirmed.
func TestE2EDaemonWhenTheHostsClockIsSet(t *testing.T) {
	b := startBed(t)
	b.pace = "300ms 100ms 3s"
	p := &hostClock{target: b.StatusURL, loaded: map[int64]int64{}}
	server := httptest.NewServer(p)
	defer server.Close()
	b.StatusURL, b.proxied = server.URL, true
	b.configure("")
	// Through two proxies on a busy machine nothing is quick.
	text := strings.Replace(string(b.read(b.config)), "[status]\n", "[status]\ntimeout = \"10s\"\n", 1)
	b.write(b.config, []byte(strings.Replace(text, "[nginx]\n", "[nginx]\nconfirm_timeout = \"20s\"\n", 1)))
	b.load()
	cfg, err := daemon.ReadConfig(b.config)
	if err != nil {
		t.Fatal(err)
	}
	log := new(buffer)
	d, err := daemon.New(cfg, daemon.Options{Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil)),
		Clock: func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		if t.Failed() {
			_, explained := b.get("/explain")
			_, ready := b.get("/readyz")
			t.Logf("%s\n%s", ready, explained)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended: %v", err)
		}
		if t.Failed() {
			t.Log(log)
		}
	}()
	await(t, "the first change", b.counted("trimtab_changes_total"))
	for _, leap := range []time.Duration{time.Hour, 0} {
		p.ahead.Store(int64(leap))
		b.goesOn()
		changes := b.number("trimtab_changes_total")
		// With the weights turned round, a change pays.
		now := b.group("compose_backend")
		b.edit(func(text string) string {
			lines := strings.SplitAfter(text, "\n")
			for i, line := range lines {
				for server := range now {
					if strings.Contains(line, "server "+server) {
						weight := map[bool]int{true: 90, false: 3}[server == b.Backends.Addr("a")]
						lines[i] = fmt.Sprintf("server %s weight=%d;\n", server, weight)
					}
				}
			}
			return strings.Join(lines, "")
		})
		await(t, fmt.Sprintf("a change with the clock off by %s", leap),
			func() bool { return b.number("trimtab_changes_total") > changes })
		if n := b.number(`trimtab_step_failures_total{kind="apply"}`); n > 3 {
			t.Errorf("%g changes failed with the clock off by %s", n, leap)
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "state", "nginx", "breaker.json")); err == nil {
		t.Error("the circuit breaker is open")
	} else if !os.IsNotExist(err) {
		t.Error(err)
	}
}
