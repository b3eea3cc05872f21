package loadgen

import (
	"context"
	"net/http"
	"sync"
)

// tally counts results and keeps their latencies.
type tally struct {
	latency, raw, lateness *Latencies
	requests               uint64
	failed                 [failures]uint64 // by kind; the entry of Success is not used
	codes                  [600]uint64      // by status
	bytesIn, bytesOut      uint64
	dropped                uint64           // due but never sent
	capped                 uint64           // found all workers busy
	samples                [failures]string // the first message of each kind of failure
}

func newTally() *tally {
	return &tally{latency: NewLatencies(), raw: NewLatencies(), lateness: NewLatencies()}
}

func (t *tally) record(r *Result) {
	t.latency.Record(r.Latency)
	t.raw.Record(r.Raw)
	t.lateness.Record(r.Lateness)
	t.requests++
	if r.Failure != Success {
		if t.failed[r.Failure]++; t.failed[r.Failure] == 1 {
			t.samples[r.Failure] = r.Error
		}
	}
	if r.Code >= 0 && r.Code < len(t.codes) {
		t.codes[r.Code]++
	}
	t.bytesIn += r.BytesIn
	t.bytesOut += r.BytesOut
}

func (t *tally) merge(o *tally) {
	t.latency.Merge(o.latency)
	t.raw.Merge(o.raw)
	t.lateness.Merge(o.lateness)
	t.requests += o.requests
	for i := range o.failed {
		t.failed[i] += o.failed[i]
		if t.samples[i] == "" {
			t.samples[i] = o.samples[i]
		}
	}
	for i := range o.codes {
		t.codes[i] += o.codes[i]
	}
	t.bytesIn += o.bytesIn
	t.bytesOut += o.bytesOut
	t.dropped += o.dropped
	t.capped += o.capped
}

func (t *tally) reset() {
	t.latency.Reset()
	t.raw.Reset()
	t.lateness.Reset()
	*t = tally{latency: t.latency, raw: t.raw, lateness: t.lateness}
}

// errors is the number of failed requests.
func (t *tally) errors() (n uint64) {
	for _, f := range t.failed {
		n += f
	}
	return n
}

// stream is the live state of one workload.
type stream struct {
	name      string
	client    *http.Client
	transport *transport

	mu     sync.Mutex
	all    *tally
	second *tally // since the last second boundary
	spare  *tally // takes the place of second at the next boundary; belongs to closeSecond
}

func newStream(name string) *stream {
	return &stream{name: name, all: newTally(), second: newTally(), spare: newTally()}
}

// open prepares the stream's connections; hard ends what is in flight.
func (s *stream) open(hard context.Context, cfg Config) {
	s.transport = newTransport(hard, cfg.Client)
	s.client = &http.Client{Transport: s.transport, CheckRedirect: followAtMost(cfg.Client.Redirects)}
}

func (s *stream) close() { s.transport.close() }

func (s *stream) record(r *Result) {
	s.mu.Lock()
	s.all.record(r)
	s.second.record(r)
	s.mu.Unlock()
}

// drop counts requests that were due but never sent, and others that had to wait for a worker.
func (s *stream) drop(dropped, capped uint64) {
	s.mu.Lock()
	s.all.dropped += dropped
	s.all.capped += capped
	s.mu.Unlock()
}
