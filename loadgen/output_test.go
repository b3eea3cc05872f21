package loadgen

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// sample runs a small load over two workloads, one of which fails, and returns its report and results.
func sample(t *testing.T) (*Report, []Result, *bytes.Buffer) {
	t.Helper()
	good, bad := serve(t, hello), rawServer(t, reply("HTTP/1.1 503 <b>Busy</b>\r\nContent-Length: 0\r\n\r\n"))
	var results collected
	var stream bytes.Buffer
	cfg := Config{LatenessBound: time.Minute, Workloads: []Workload{
		{Name: "good", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: good})},
		{Name: "bad <i>", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "POST", URL: bad,
			Body: []byte("xy")})},
	}}
	for i := range cfg.Workloads {
		cfg.Workloads[i].Bursts = []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(100),
			Duration: 300 * time.Millisecond, Seed: 4}}
	}
	var a *Attack
	writer := NewResultsWriter(&stream, func() time.Time { return a.Started() }, []string{"good", "bad <i>"})
	cfg.OnResult = func(r Result) { results.add(r); writer.Write(r) }
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Run(t.Context())
	if err = errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return r, results.all, &stream
}

func TestReportHasTheDocumentedFields(t *testing.T) {
	r, _, _ := sample(t)
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Requests, Errors, Dropped *int
		RatePerS                  *float64            `json:"rate_per_s"`
		Latency                   map[string]*float64 `json:"latency_ms"`
		Raw                       map[string]*float64 `json:"raw_latency_ms"`
		Lateness                  map[string]*float64 `json:"lateness_ms"`
		Interarrival              map[string]any
		Arrival                   string
		Seed                      *uint64
		Saturated                 *bool
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Requests == nil || *got.Requests != 60 || got.Errors == nil || *got.Errors != 30 || got.Dropped == nil ||
		got.Saturated == nil ||
		got.RatePerS == nil || *got.RatePerS != 200 || got.Arrival != "fixed" || got.Seed == nil || *got.Seed != 4 {
		t.Errorf("got %s", data)
	}
	for name, summary := range map[string]map[string]*float64{"latency": got.Latency, "raw": got.Raw,
		"lateness": got.Lateness} {
		for _, key := range []string{"mean", "p50", "p90", "p99", "p999", "max"} {
			if summary[key] == nil {
				t.Errorf("%s: no %s in %s", name, key, data)
			}
		}
	}
	for _, key := range []string{"mean_ms", "cv", "ks_p"} {
		if got.Interarrival[key] == nil {
			t.Errorf("interarrival: no %s in %s", key, data)
		}
	}
}

// vegeta's own decoder and metrics read the stream, and see due times and true latencies.
func TestResultsAreVegetas(t *testing.T) {
	_, results, stream := sample(t)
	byKey := map[[2]uint64]Result{}
	for _, r := range results {
		byKey[[2]uint64{uint64(r.Workload), r.Seq}] = r
	}
	decode := vegeta.DecoderFor(stream)
	if decode == nil {
		t.Fatal("vegeta does not recognise the stream")
	}
	var metrics vegeta.Metrics
	n := 0
	for ; ; n++ {
		var v vegeta.Result
		if err := decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		metrics.Add(&v)
		workload := uint64(0)
		if v.Attack == "bad <i>" {
			workload = 1
		}
		want := byKey[[2]uint64{workload, v.Seq}]
		if v.Latency != want.Latency || int(v.Code) != want.Code || v.BytesIn != want.BytesIn ||
			v.BytesOut != want.BytesOut || v.Method != want.Method || (v.Error == "") != (want.Failure == Success) {
			t.Fatalf("got %+v, want %+v", v, want)
		}
	}
	metrics.Close()
	if n != 60 || metrics.Requests != 60 || metrics.Success != 0.5 {
		t.Errorf("got %d results, %d requests and success %g, want 60, 60 and half", n, metrics.Requests,
			metrics.Success)
	}
}

func TestPictureIsDrawnEvenWithoutData(t *testing.T) {
	full, _, _ := sample(t)
	empty := &Report{Timeline: newTally().histories(), Workloads: []WorkloadReport{{Timeline: newTally().histories()}}}
	for name, r := range map[string]*Report{"two workloads": full, "nothing": empty} {
		var picture bytes.Buffer
		if err := r.WritePNG(&picture); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img, err := png.Decode(&picture)
		if err != nil || img.Bounds().Dx() < 1000 {
			t.Errorf("%s: got %v, %v, want a picture at least 1000 wide", name, img.Bounds(), err)
		}
	}
}

func TestTextWarnsLoudly(t *testing.T) {
	late := newTally()
	late.record(&Result{Latency: 40 * time.Millisecond, Raw: 10 * time.Millisecond, Lateness: 30 * time.Millisecond,
		Code: 200})
	late.dropped, late.capped = 3, 2
	tally := late.summary(time.Second, 10*time.Millisecond)
	r := &Report{Tally: tally, BoundMS: 10, Seed: 8, Workloads: []WorkloadReport{{Name: "x", Tally: tally}}}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SATURATED, NOT VALID AS OPEN LOOP", "lateness p99 30.0 ms is beyond the " +
		"bound of 10 ms", "3 requests were due but never sent",
		"2 requests found all workers busy", "seed 8"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("got no %q in\n%s", want, text.String())
		}
	}
	calm := newTally()
	calm.record(&Result{Latency: time.Millisecond, Code: 200})
	if s := calm.summary(time.Second, 10*time.Millisecond); s.Saturated {
		t.Error("a request in time: got saturated")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestResultsReportTheFirstWriteError(t *testing.T) {
	w := NewResultsWriter(full{}, time.Now, []string{"x"})
	for range 10_000 {
		w.Write(Result{})
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v, want the disk to be full", err)
	}
}
