package loadgen

import (
	"bufio"
	"fmt"
	"io"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// ResultsWriter writes results as the stream that vegeta's own commands read (report, plot, encode). A result's
// timestamp is its due time and its latency the true one, so that vegeta reports what users waited; bodies and headers
// are left out.
type ResultsWriter struct {
	started func() time.Time
	names   []string

	mu     sync.Mutex
	buffer *bufio.Writer
	encode vegeta.Encoder
	err    error
}

// NewResultsWriter returns a writer to w for the attack that starts at started() and has the named workloads.
func NewResultsWriter(w io.Writer, started func() time.Time, names []string) *ResultsWriter {
	buffer := bufio.NewWriterSize(w, 1<<16)
	return &ResultsWriter{started: started, names: names, buffer: buffer, encode: vegeta.NewEncoder(buffer)}
}

// Write writes one result. The first error is kept for Close.
func (rw *ResultsWriter) Write(r Result) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	if rw.err != nil {
		return
	}
	rw.err = rw.encode(&vegeta.Result{
		Attack: rw.names[r.Workload], Seq: r.Seq, Code: uint16(r.Code), Timestamp: rw.started().Add(r.Due).Round(0),
		Latency: r.Latency, BytesIn: r.BytesIn, BytesOut: r.BytesOut, Error: r.Error, Method: r.Method, URL: r.URL,
	})
}

// Close flushes what is buffered and returns the first error of all.
func (rw *ResultsWriter) Close() error {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	if rw.err == nil {
		rw.err = rw.buffer.Flush()
	}
	if rw.err != nil {
		return fmt.Errorf("write results: %w", rw.err)
	}
	return nil
}
