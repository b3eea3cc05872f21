package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// transport sends requests, reads their answers to the end and hands vegeta a receipt in place of the body: vegeta
// would keep each body in memory, and knows failures only as text. It never returns an error: a request that failed
// has status 0, the error's text as its status line, and the kind of failure in the receipt.
type transport struct {
	ctx     context.Context // ends what is in flight
	wire    *wire
	stop    func() bool
	timeout time.Duration
	maxBody int64
	header  http.Header
	pool    sync.Pool              // of receiptBody
	server  atomic.Pointer[string] // what the first answer called itself
}

func newTransport(ctx context.Context, cfg ClientConfig) *transport {
	w := newWire(cfg)
	return &transport{ctx: ctx, wire: w, stop: context.AfterFunc(ctx, w.close), timeout: cfg.Timeout,
		maxBody: cfg.MaxBody, header: cfg.Header}
}

func (t *transport) close() {
	t.stop()
	t.wire.close()
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	var deadline time.Time
	if t.timeout > 0 {
		deadline = time.Now().Add(t.timeout)
	}
	resp, n, err := t.wire.exchange(t.ctx, req, t.header, deadline, t.maxBody)
	if err != nil {
		return t.failed(req, err), nil
	}
	if t.server.Load() == nil {
		name := resp.Header.Get("Server")
		t.server.CompareAndSwap(nil, &name)
	}
	resp.Body = t.receipt(receipt{bytesIn: n, failure: statusFailure(resp.StatusCode)})
	return resp, nil
}

var errTooLarge = errors.New("body longer than the limit")

// failed is the answer that stands for err.
func (t *transport) failed(req *http.Request, err error) *http.Response {
	return &http.Response{
		Status: err.Error(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req,
		Body: t.receipt(receipt{failure: failureOf(err)}),
	}
}

// followAtMost is a redirect policy that follows n redirects and then takes the answer as it is.
func followAtMost(n int) func(*http.Request, []*http.Request) error {
	return func(_ *http.Request, via []*http.Request) error {
		if len(via) > n {
			return http.ErrUseLastResponse
		}
		return nil
	}
}

// receipt is what the transport knows of an answer.
type receipt struct {
	bytesIn uint64 // length of the body
	failure Failure
}

const receiptSize = 9

// receiptBody is a receipt as the body of an answer.
type receiptBody struct {
	data         [receiptSize]byte
	read, closed bool
	pool         *sync.Pool
}

// receipt returns r as a body that goes back to the pool when it is closed.
func (t *transport) receipt(r receipt) *receiptBody {
	b, ok := t.pool.Get().(*receiptBody)
	if !ok {
		b = &receiptBody{pool: &t.pool}
	}
	b.read, b.closed = false, false
	binary.LittleEndian.PutUint64(b.data[:], r.bytesIn)
	b.data[8] = byte(r.failure)
	return b
}

func (b *receiptBody) Read(p []byte) (int, error) {
	if b.read || len(p) < receiptSize {
		return 0, io.EOF
	}
	b.read = true
	return copy(p, b.data[:]), io.EOF
}

// Close gives the receipt back for the next answer.
func (b *receiptBody) Close() error {
	if !b.closed {
		b.closed = true
		b.pool.Put(b)
	}
	return nil
}

// readReceipt reads the receipt back from vegeta's result. A result without one never reached the transport.
func readReceipt(r *vegeta.Result) receipt {
	if len(r.Body) != receiptSize {
		return receipt{failure: BadTarget}
	}
	return receipt{bytesIn: binary.LittleEndian.Uint64(r.Body), failure: Failure(r.Body[8])}
}
