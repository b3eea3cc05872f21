//go:build linux

package loadgen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
	"trimtab/nginx/instance"
)

// staticNGINX starts an NGINX with one worker that answers every request with 128 bytes from a file.
func staticNGINX(tb testing.TB) (url string) {
	tb.Helper()
	dir := tb.TempDir()
	lines, err := instance.Prepare(dir)
	if err != nil {
		tb.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		tb.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	if err := os.WriteFile(filepath.Join(dir, "index.html"), slices.Repeat([]byte("x"), 128), 0o644); err != nil {
		tb.Fatal(err)
	}
	config := fmt.Sprintf(`%sworker_processes 1;
events { worker_connections 4096; }
http {
%s    access_log off;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    server { listen %s; root %s; location = /status { stub_status; } }
}
`, lines, instance.HTTPPaths(dir), addr, dir)
	nginx, err := instance.Start(tb.Context(), dir, config, addr)
	if errors.Is(err, instance.ErrMissing) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nginx.Stop)
	return "http://" + addr + "/index.html"
}

// peak is what one sender reached.
type peak struct {
	perSecond, bytesPerRequest, allocsPerRequest float64
}

// measurePeak runs send, which returns how many requests it had answered.
func measurePeak(send func() uint64) peak {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	n := float64(send())
	elapsed := time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	return peak{
		perSecond:        n / elapsed,
		bytesPerRequest:  float64(after.TotalAlloc-before.TotalAlloc) / n,
		allocsPerRequest: float64(after.Mallocs-before.Mallocs) / n,
	}
}

const (
	peakWorkers = 64
	peakRound   = time.Second
)

// sendStock is vegeta's own attack as fast as it goes, its results only counted.
func sendStock(tb testing.TB, url string) uint64 {
	attacker := vegeta.NewAttacker(vegeta.Workers(peakWorkers), vegeta.MaxWorkers(peakWorkers))
	return countResults(tb, attacker, url)
}

// sendWire is vegeta's attack over our connections, without due times, histograms or checks, garbage collected as
// rarely.
func sendWire(tb testing.TB, url string) uint64 {
	defer collectLess()()
	s := newStream("peak")
	s.open(tb.Context(), Config{}.withDefaults())
	defer s.close()
	attacker := vegeta.NewAttacker(vegeta.Client(s.client), vegeta.Workers(peakWorkers), vegeta.MaxWorkers(peakWorkers))
	return countResults(tb, attacker, url)
}

func countResults(tb testing.TB, attacker *vegeta.Attacker, url string) (n uint64) {
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url})
	for r := range attacker.Attack(target, vegeta.ConstantPacer{}, peakRound, "") {
		if r.Code != 200 {
			tb.Errorf("got status %d: %s", r.Code, r.Error)
		}
		n++
	}
	return n
}

// sendOurs is the whole load generator, asked for more than it can send.
func sendOurs(tb testing.TB, url string) uint64 {
	a, err := New(Config{Workers: peakWorkers, MaxWorkers: peakWorkers, Workloads: []Workload{{
		Name:     "peak",
		Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(500_000),
			Duration: peakRound, Seed: 1}},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := a.Run(tb.Context())
	if err != nil || r.Errors > 0 {
		tb.Errorf("got %d errors, %v: %v", r.Errors, r.ErrorKinds, err)
	}
	return r.Requests
}

// BenchmarkPeak compares peak request rates against one NGINX in interleaved rounds of one second each; the figures are
// medians over the rounds: rates relative to stock vegeta, and memory.
func BenchmarkPeak(b *testing.B) {
	needScript(b)
	url := staticNGINX(b)
	senders := []struct {
		name string
		send func(testing.TB, string) uint64
		got  []peak
	}{{name: "stock", send: sendStock}, {name: "wire", send: sendWire}, {name: "ours", send: sendOurs}}
	for b.Loop() {
		for i := range senders {
			senders[i].got = append(senders[i].got, measurePeak(func() uint64 { return senders[i].send(b, url) }))
		}
	}
	rate := func(p peak) float64 { return p.perSecond }
	for _, s := range senders {
		b.ReportMetric(medianOf(s.got, rate), s.name+"_req/s")
		b.ReportMetric(medianOf(s.got, rate)/medianOf(senders[0].got, rate), s.name+"/stock")
		b.ReportMetric(medianOf(s.got, func(p peak) float64 { return p.bytesPerRequest }), s.name+"_B/req")
		b.ReportMetric(medianOf(s.got, func(p peak) float64 { return p.allocsPerRequest }), s.name+"_allocs/req")
	}
	b.ReportMetric(0, "ns/op")
}
