package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
)

// TestMatrixTable measures the ways of changing weights on one NGINX and writes its rows into the table of the file that
// TRIMTAB_MATRIX_TABLE names: make matrix runs it on every version.
func TestMatrixTable(t *testing.T) {
	path := os.Getenv("TRIMTAB_MATRIX_TABLE")
	if path == "" {
		t.Skip("make matrix measures and writes the table: TRIMTAB_MATRIX_TABLE names no file")
	}
	version, err := instance.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%d.%d.%d (%s)", version[0], version[1], version[2], os.Getenv("TRIMTAB_SUITE"))
	var rows []string
	row := func(way, works, confirmed, lost, peak string) {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", name, way, works, confirmed, lost, peak))
		t.Log(rows[len(rows)-1])
	}
	shim := newMatrixBed(t, "shim")
	works := "counters and weights in force"
	if !shim.weights(t) {
		works = "counters; weights are null"
	}
	row("status shim", works, "–", "–", peakText(shim.peak(t)))
	row("module page", "where the module is compiled for it; Debian packages none", "–", "–", "–")
	ways := []string{"reload", "live", "dns"}
	if only := os.Getenv("TRIMTAB_MATRIX_WAYS"); only != "" {
		ways = strings.Fields(only)
	}
	for _, way := range ways {
		if way == "live" && version[1] < 22 {
			row(way, "no: needs 1.22", "–", "–", "–")
			continue
		}
		if way == "dns" && slices.Compare(version[:], dns.FirstVersion[:]) < 0 {
			row(way, "no: needs 1.27.3", "–", "–", "–")
			continue
		}
		b := newMatrixBed(t, way)
		confirmed, longest := b.confirmed(t)
		lost, sent := b.lost(t)
		middle, low, high := b.peak(t)
		digits := 1
		if confirmed > 100*time.Millisecond {
			digits = 0
		}
		row(way, "yes", fmt.Sprintf("%.*f ms (longest %.*f)", digits, msOf(confirmed), digits, msOf(longest)),
			fmt.Sprintf("%d of %d", lost, sent), peakText(middle, low, high))
		if way == "reload" {
			continue // it may lose requests before 1.27.4, and draining workers cost for a while
		}
		if lost > 0 {
			t.Errorf("%s: %d of %d requests were lost, want none", way, lost, sent)
		}
		if high < 0.98 {
			t.Errorf("%s: the peak rate is %s of native, want at least 98 %%", way, peakText(middle, low, high))
		}
		if most := 2500 * time.Millisecond; confirmed > most {
			t.Errorf("%s: confirmed after %s, want at most %s", way, confirmed, most)
		}
	}
	if err := writeRows(path, name, rows); err != nil {
		t.Fatal(err)
	}
}

// matrixBed is an NGINX with two upstreams of the same servers: one as everybody has it, one whose weights are changed.
type matrixBed struct {
	*instance.Instance
	front   string
	page    string
	servers []string
	apply   func(ctx context.Context, w int) error
}

func newMatrixBed(t *testing.T, way string) *matrixBed {
	t.Helper()
	modules, err := instance.LuaModules()
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	b := &matrixBed{front: addr(0)}
	page, control := addr(1), addr(2)
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		}))
		t.Cleanup(s.Close)
		b.servers = append(b.servers, s.Listener.Addr().String())
	}
	b.page = "http://" + page + lua.StatusPath
	shim := lua.Status{Dir: filepath.Join(dir, "lua"), Listen: page}
	files, err := shim.Files()
	if err != nil {
		t.Fatal(err)
	}
	if err := installFiles(shim.Dir, files); err != nil {
		t.Fatal(err)
	}
	upstream := func(name, extra string) string {
		return fmt.Sprintf("    upstream %s {\n        server %s;\n        server %s;\n        keepalive 64;\n        %s\n    }\n", name, b.servers[0], b.servers[1], extra)
	}
	conf := func(head, app string) string {
		return modules + main + "worker_processes 1;\nevents { worker_connections 4096; }\nhttp {\n" + instance.HTTPPaths(dir) + "    access_log off;\n    keepalive_requests 10000000;\n" +
			head + upstream("native",
			"") + app + fmt.Sprintf("    server {\n        listen %s;\n        proxy_http_version 1.1;\n        proxy_set_header Connection \"\";\n"+
			"        location /native { proxy_pass http://native; log_by_lua_block { } }\n        location / { proxy_pass http://app; }\n    }\n}\n", b.front)
	}
	path := filepath.Join(dir, "nginx.conf")
	write := func(text string) *nginx.Config {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cfg, err := nginx.ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	status, closeStatus, err := freshStatus(b.page, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStatus)
	include := "    include " + shim.HTTPSnippet() + ";\n"
	want := func(w int) nginx.Settings {
		return nginx.Settings{"app": {b.servers[0]: {Weight: w}, b.servers[1]: {Weight: 101 - w}}}
	}
	text, ready := "", []string{b.front}
	switch way {
	case "shim", "reload":
		text, ready = conf(include, upstream("app", "")), append(ready, page)
		a := &nginx.Applier{Config: path, StateDir: filepath.Join(dir, "state"), Prefix: dir, Status: status,
			Manual: true}
		b.apply = func(ctx context.Context, w int) error {
			if a.Binary = b.Binary; w == 50 {
				w = 51 // 50:51 has no common factor, so that each change is one
			}
			_, err := a.Apply(ctx, want(w))
			return err
		}
	case "live":
		in, err := live.Plan(write(conf("", upstream("app", "zone app 256k;"))), live.InstallOptions{Listen: control,
			Upstreams: []string{"app"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(); err != nil {
			t.Fatal(err)
		}
		text, ready = conf("    "+in.Lines[0].Text+"\n", upstream("app", "zone app 256k;")), append(ready, control)
		a, err := live.New(live.Config{Address: control, TokenFile: in.Live.TokenFile})
		if err != nil {
			t.Fatal(err)
		}
		b.apply = func(ctx context.Context, w int) error { _, err := a.Apply(ctx, want(min(w, 100))); return err }
	case "dns":
		resolver, err := freeResolver()
		if err != nil {
			t.Fatal(err)
		}
		in, err := dns.Plan(t.Context(), write(conf(include, upstream("app", ""))),
			dns.InstallOptions{Listen: resolver, Upstreams: []string{"app"}})
		if err != nil {
			t.Fatal(err)
		}
		text, ready = string(in.Files[0].Apply()), append(ready, page)
		store := dns.Store{Path: filepath.Join(dir, "state", "dns.json")}
		if _, _, err := store.Update(t.Context(), func(s *dns.State) (bool,
			error) {
			s.Upstreams = in.State
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
		server, err := dns.NewServer(dns.ServerConfig{Listen: resolver, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { _ = server.Run(ctx) })
		t.Cleanup(func() { cancel(); all.Wait() })
		a, err := dns.New(dns.Config{Listen: resolver, Store: store, Status: status})
		if err != nil {
			t.Fatal(err)
		}
		b.apply = func(ctx context.Context, w int) error {
			_, err := a.Apply(ctx, want(w))
			if rollback := (*nginx.RollbackError)(nil); errors.As(err, &rollback) && rollback.Restore == nil {
				t.Logf("taken back, and made again: %v", err) // on a machine too busy to answer within NGINX's second
				_, err = a.Apply(ctx, want(w))
			}
			return err
		}
		defer func() {
			await(t, "NGINX to go by DNS", func() bool { _, err := a.InForce(t.Context()); return err == nil })
		}()
	}
	if way != "shim" { // whose counting is what is measured there, and has no part in what else is
		text = strings.Replace(text, "location / { proxy_pass http://app; }",
			"location / { proxy_pass http://app; log_by_lua_block { } }", 1)
	}
	if b.Instance, err = instance.Start(t.Context(), dir, text, ready...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// weights reports whether the page shows weights.
func (b *matrixBed) weights(t *testing.T) bool {
	t.Helper()
	resp, err := http.Get(b.page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("Trimtab-Weights") == "in force"
}

// confirmed is the median time of 20 changes from the call until they are confirmed, and the longest.
func (b *matrixBed) confirmed(t *testing.T) (median, longest time.Duration) {
	t.Helper()
	var took []time.Duration
	for i := range 20 {
		began := time.Now()
		if err := b.apply(t.Context(), 10+3*i); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[10], took[19]
}

// lost makes 100 changes under 1,000 POSTs a second over kept connections.
func (b *matrixBed) lost(t *testing.T) (lost, all int64) {
	t.Helper()
	const connections, rate = 20, 1000
	var sent, failed atomic.Int64
	var first atomic.Pointer[string]
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range connections {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{Proxy: nil}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			tick := time.NewTicker(connections * time.Second / rate)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				resp, err := client.Post("http://"+b.front+"/", "text/plain", strings.NewReader("post"))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					if resp.Body.Close(); resp.StatusCode != 200 {
						err = errors.New(resp.Status)
					}
				}
				if sent.Add(1); err != nil {
					failed.Add(1)
					text := err.Error()
					first.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	for i := range 100 {
		if err := b.apply(t.Context(), 1+(i*37)%97); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 { // live changes are so fast that the load would see none but for a pause
			await(t, "more of the load",
				func() func() bool { from := sent.Load(); return func() bool { return sent.Load() > from+500 } }())
		}
	}
	cancel()
	clients.Wait()
	if p := first.Load(); p != nil {
		t.Logf("the first that was lost: %s", *p)
	}
	return failed.Load(), sent.Load()
}

// peakPairs is how many pairs of short turns a peak is the median of: 200, or TRIMTAB_MATRIX_PAIRS.
func peakPairs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TRIMTAB_MATRIX_PAIRS")
	if text == "" {
		return 200
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 20 {
		t.Fatalf("TRIMTAB_MATRIX_PAIRS %q: want a number from 20 on", text)
	}
	return n
}

// peak is what NGINX's worker could serve through the changed upstream, as a share of what it could through the one beside
// it, with its 95 % interval: the inverse of its processor time per request, which a busy machine does not blur as it does rates.
// Turns are short and alternate, so that what slows the machine for a while slows both.
func (b *matrixBed) peak(t *testing.T) (middle, low, high float64) {
	t.Helper()
	worker := b.worker(t)
	var ratios []float64
	b.cost(t, worker, "/native")
	b.cost(t, worker, "/")
	pairs := peakPairs(t)
	for i := range pairs {
		first, second := "/native", "/"
		if i%2 == 1 {
			first, second = second, first
		}
		cost := map[string]float64{first: b.cost(t, worker, first)}
		cost[second] = b.cost(t, worker, second)
		ratios = append(ratios, cost["/native"]/cost["/"])
	}
	slices.Sort(ratios)
	// The median lies between the order statistics n/2 ± 0.98·√n (binomial, 95 %).
	reach := int(math.Ceil(0.98 * math.Sqrt(float64(pairs))))
	return ratios[pairs/2], ratios[pairs/2-reach], ratios[pairs/2+reach]
}

func peakText(middle, low, high float64) string {
	return fmt.Sprintf("%.1f %% (%.1f–%.1f)", 100*middle, 100*low, 100*high)
}

// worker is the pid of the only worker, once those of before have gone.
func (b *matrixBed) worker(t *testing.T) (pid string) {
	t.Helper()
	await(t, "the old workers to go", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", b.PID, b.PID))
		if list := strings.Fields(string(text)); err == nil && len(list) == 1 {
			pid = list[0]
		}
		return pid != ""
	})
	return pid
}

// cost is the processor time in ns that the worker spends on a request.
func (b *matrixBed) cost(t *testing.T, worker, path string) float64 {
	t.Helper()
	const clients, each = 16, 30
	spent := func() float64 {
		text, err := os.ReadFile("/proc/" + worker + "/schedstat")
		if err != nil {
			t.Fatal(err)
		}
		ns, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	before := spent()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{Proxy: nil}}
			defer client.CloseIdleConnections()
			for range each {
				resp, err := client.Get("http://" + b.front + path)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	return (spent() - before) / (clients * each)
}

const tableBegins, tableEnds = "<!-- matrix -->", "<!-- /matrix -->"

// writeRows replaces the rows of a version in the table.
func writeRows(path, name string, rows []string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegins+"\n")
	table, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no table between %s and %s", path, tableBegins, tableEnds)
	}
	suite := name[strings.IndexByte(name, '('):]
	lines := strings.Split(strings.TrimSpace(table), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, suite+" |") })
	lines = append(lines, rows...)
	slices.SortStableFunc(lines[2:], func(a, b string) int {
		return strings.Compare(strings.SplitN(a, "|", 3)[1], strings.SplitN(b, "|", 3)[1])
	})
	return os.WriteFile(path, []byte(before+tableBegins+"\n"+strings.Join(lines, "\n")+"\n"+tableEnds+after), 0o644)
}
