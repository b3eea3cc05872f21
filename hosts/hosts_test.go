package hosts

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is a page after so many seconds of two processors that were busy so many of them.
func page(idle, busy float64) string {
	return fmt.Sprintf(`# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.
node_cpu_seconds_total{cpu="0",mode="idle"} %g
node_cpu_seconds_total{cpu="0",mode="user"} %g
node_memory_MemTotal_bytes 1.6e+10
node_memory_MemAvailable_bytes 4e+09
node_network_receive_bytes_total{device="eth0"} %g
node_network_receive_bytes_total{device="lo"} 1e+12
node_network_transmit_bytes_total{device="eth0"} 500
node_pressure_cpu_waiting_seconds_total %g
node_pressure_memory_waiting_seconds_total 0
node_pressure_io_waiting_seconds_total 0
`, idle, busy, 1000*busy, busy/10)
}

func TestReadings(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h, err := New([]Host{{"a:80", "http://127.0.0.1:1/metrics"}}, Config{Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	now := func(at time.Time) Reading { return h.Now(at)[0] }
	if r := now(began); !r.Stale || r.CPU != -1 {
		t.Errorf("before the first page: got %+v, want stale and nothing known", r)
	}
	h.take(0, []byte(page(100, 50)), began, nil)
	if r := now(began); !r.Stale {
		t.Errorf("one page says nothing of rates: got %+v, want stale", r)
	}
	h.take(0, []byte(page(105, 55)), began.Add(10*time.Second), nil)
	r := now(began.Add(11 * time.Second))
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"cpu", r.CPU, 0.5}, {"memory", r.Memory, 0.75}, {"received, without lo", r.Received, 500}, {"sent", r.Sent, 0},
		{"cpu pressure", r.CPUPressure, 0.05}} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	if r.Stale {
		t.Error("a second after a good page: got stale")
	}
	h.take(0, nil, began.Add(12*time.Second), context.DeadlineExceeded)
	if r := now(began.Add(12 * time.Second)); r.Stale || r.Problem == "" || r.CPU != 0.5 {
		t.Errorf("one page that fails: got %+v, want the last figures and the problem", r)
	}
	if r := now(began.Add(20 * time.Second)); !r.Stale {
		t.Errorf("after five intervals without a page: got %+v, want stale", r)
	}
	h.take(0, []byte("<html>"), began.Add(21*time.Second), nil)
	if r := now(began.Add(21 * time.Second)); !strings.Contains(r.Problem, "node_exporter") {
		t.Errorf("another page: got %+v, want to be told", r)
	}
	h.take(0, []byte(page(1, 1)), began.Add(22*time.Second), nil)
	if r := now(began.Add(22 * time.Second)); r.Problem != "" || r.CPU != 0.5 {
		t.Errorf("a machine that began anew: got %+v, want no rate of it yet", r)
	}
	for _, bad := range []Host{{"", "http://a/"}, {"a:80", "a:9100"}, {"a:80", "file:///etc/passwd"}} {
		if _, err := New([]Host{bad}, Config{}); err == nil {
			t.Errorf("%+v is refused: got no error", bad)
		}
	}
}

func TestLabels(t *testing.T) {
	for _, c := range []struct{ name, line, label, want string }{
		{"one label", `a{mode="idle"} 1`, "mode", "idle"},
		{"the second", `a{cpu="0",mode="idle"} 1`, "mode", "idle"},
		{"a brace in quotes", `a{x="}",mode="idle"} 1`, "mode", "idle"},
		{"an escaped quote", `a{x="\"",mode="idle"} 1`, "mode", "idle"},
		{"none", `a 1`, "mode", ""},
		{"cut off", `a{mode="idle`, "mode", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, labels, _, _ := split([]byte(c.line))
			if got := label(labels, c.label); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(page(1, 2)))
	f.Add([]byte("node_cpu_seconds_total{mode=\"idle\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c := parse(text); math.IsNaN(c.cpu) || c.idle < 0 {
			t.Errorf("%q: got %+v", text, c)
		}
	})
}

func TestPagesOverHTTP(t *testing.T) {
	n := 0.0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			n++
			fmt.Fprint(w, page(100+n, 50+3*n))
		case "/long":
			for range 200 {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	h, err := New([]Host{{"a", srv.URL + "/metrics"}, {"b", srv.URL + "/none"}, {"c", srv.URL + "/long"},
		{"d", "http://127.0.0.1:1/"}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.client.CloseIdleConnections()
	for range 2 {
		h.Step(t.Context())
	}
	got := h.Now(time.Now())
	if got[0].Stale || math.Abs(got[0].CPU-0.75) > 1e-9 {
		t.Errorf("a good page: got %+v, want 0.75 busy", got[0])
	}
	for _, r := range got[1:] {
		if !r.Stale || r.Problem == "" {
			t.Errorf("%s: got %+v, want stale with a problem", r.Server, r)
		}
	}
}

// nodeExporter is Debian's program; TRIMTAB_NODE_EXPORTER names another one.
func nodeExporter(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("TRIMTAB_NODE_EXPORTER"), "prometheus-node-exporter"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	t.Skip("no prometheus-node-exporter: install Debian's package, or set TRIMTAB_NODE_EXPORTER")
	return ""
}

func TestTheRealNodeExporter(t *testing.T) {
	program := nodeExporter(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.CommandContext(t.Context(), program, "--web.listen-address="+address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	h, err := New([]Host{{"a:80", "http://" + address + "/metrics"}}, Config{Interval: 50 * time.Millisecond,
		StaleAfter: time.Hour, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	defer func() { cancel(); <-done }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r := h.Now(time.Now())[0]
		if !r.Stale && r.CPU >= 0 && r.Memory > 0 && r.Memory < 1 && r.Received >= 0 {
			t.Logf("%+v", r)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the page of the real program: got %+v, want processor, memory and network", r)
		case <-tick.C:
		}
	}
}
