package loadgen

import (
	"context"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// hotPath is an attack whose pacer is always behind, so that Pace never sleeps.
func hotPath(tb testing.TB) (*burst, time.Time) {
	tb.Helper()
	a, err := New(Config{Workloads: []Workload{{
		Name: "hot", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: "http://127.0.0.1/"}),
		Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Exp}, Rate: arrival.Constant(1e9), Duration: time.Hour,
			Seed: 1}},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	epoch := time.Now().Add(-time.Minute)
	b := a.bursts[0]
	b.pacer.begin(context.Background(), epoch)
	return b, epoch
}

// accountOne takes one request through all that is ours: due time, receipt, histograms, gaps. The result is reused.
func accountOne(tb testing.TB, b *burst, t *transport, r *vegeta.Result, epoch time.Time, buffer []byte) {
	if _, stop := b.pacer.Pace(0, r.Seq); stop {
		tb.Fatal("got a stop, want to go on")
	}
	r.Timestamp = epoch.Add(time.Duration(r.Seq) * time.Microsecond)
	body := t.receipt(receipt{bytesIn: 128})
	n, _ := body.Read(buffer)
	r.Body = buffer[:n]
	_ = body.Close()
	b.collect(r, epoch)
	r.Seq++
}

func TestAccountingAllocatesNothing(t *testing.T) {
	b, epoch := hotPath(t)
	tr := newTransport(t.Context(), ClientConfig{})
	defer tr.close()
	r := &vegeta.Result{Code: 200, Latency: time.Millisecond}
	buffer := make([]byte, 512)
	for range 4 * segmentSize { // the sample of gaps and the first segments are filled once
		accountOne(t, b, tr, r, epoch, buffer)
	}
	if n := testing.AllocsPerRun(3*segmentSize, func() { accountOne(t, b, tr, r, epoch, buffer) }); n != 0 {
		t.Errorf("got %g allocations per request, want 0", n)
	}
	if got := b.stream.all.requests; got != 7*segmentSize+1 {
		t.Errorf("got %d requests recorded, want %d", got, 7*segmentSize+1)
	}
}

func BenchmarkAccounting(b *testing.B) {
	burst, epoch := hotPath(b)
	tr := newTransport(b.Context(), ClientConfig{})
	defer tr.close()
	r := &vegeta.Result{Code: 200, Latency: time.Millisecond}
	buffer := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		accountOne(b, burst, tr, r, epoch, buffer)
	}
}
