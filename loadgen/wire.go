package loadgen

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// wire speaks HTTP/1.1 over pooled connections, each used by one worker at a time: the worker itself writes the request
// and reads the answer. net/http's Transport has two goroutines per connection for that, and the switches between them
// cost more than everything else a request needs. Encoding and parsing are net/http's own. No proxies, no HTTP/2.
type wire struct {
	dialer    net.Dialer
	tls       *tls.Config
	keepAlive bool
	slots     chan struct{} // one per connection in use, nil without a limit

	mu     sync.Mutex
	hosts  []*host
	closed bool
}

// host is the pool of one scheme and address.
type host struct {
	scheme, name string // as they stand in the URL
	address      string // host:port
	idle         []*conn
	live         map[*conn]struct{} // all connections, in use or idle
}

func newWire(cfg ClientConfig) *wire {
	w := &wire{dialer: net.Dialer{KeepAlive: 30 * time.Second}, keepAlive: !cfg.NoKeepAlive, tls: cfg.TLS}
	if w.tls == nil {
		w.tls = &tls.Config{}
	}
	if cfg.Connections > 0 {
		w.slots = make(chan struct{}, cfg.Connections)
	}
	return w
}

// exchange sends req and reads the answer with its body, of at most maxBody bytes unless that is negative. The answer's
// body is spent. deadline may be the zero time.
func (w *wire) exchange(ctx context.Context, req *http.Request, extra http.Header, deadline time.Time,
	maxBody int64) (*http.Response, uint64, error) {
	if scheme := req.URL.Scheme; scheme != "http" && scheme != "https" || req.URL.Host == "" {
		return nil, 0, fmt.Errorf("%w: %s", errBadTarget, req.URL)
	}
	if err := w.acquire(ctx, deadline); err != nil {
		return nil, 0, err
	}
	defer w.release()
	for {
		c, err := w.get(ctx, req, deadline)
		if err != nil {
			return nil, 0, err
		}
		reused := c.used
		resp, n, err := c.exchange(req, extra, deadline, maxBody)
		switch {
		case err != nil:
			w.drop(c)
			if reused && errors.Is(err, errUnanswered) && replayable(req) && w.open() {
				continue // the server closed an idle connection as the request went out; HTTP allows to send it again
			}
			if !w.open() {
				err = errGivenUp
			}
		case w.keepAlive && !resp.Close && !req.Close && c.read.Buffered() == 0:
			c.used = true
			w.put(c)
		default:
			w.drop(c)
		}
		return resp, n, err
	}
}

var errBadTarget = errors.New("not an http or https URL")

// replayable reports whether req may be sent again after a connection was closed without an answer, as net/http does.
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return req.Body == nil || req.Body == http.NoBody
	}
	return false
}

// acquire waits for a free connection slot.
func (w *wire) acquire(ctx context.Context, deadline time.Time) error {
	if w.slots == nil {
		return nil
	}
	select {
	case w.slots <- struct{}{}:
		return nil
	default:
	}
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case w.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errGivenUp
	case <-expired:
		return fmt.Errorf("wait for a connection: %w", context.DeadlineExceeded)
	}
}

func (w *wire) release() {
	if w.slots != nil {
		<-w.slots
	}
}

// get returns an idle connection that is still alive, or a new one.
func (w *wire) get(ctx context.Context, req *http.Request, deadline time.Time) (*conn, error) {
	for {
		w.mu.Lock()
		if w.closed {
			w.mu.Unlock()
			return nil, errGivenUp
		}
		h := w.host(req.URL.Scheme, req.URL.Host)
		var c *conn
		if n := len(h.idle); n > 0 {
			c = h.idle[n-1]
			h.idle = h.idle[:n-1]
		}
		w.mu.Unlock()
		if c == nil {
			return w.dial(ctx, h, deadline)
		}
		if c.probe.alive() {
			return c, nil
		}
		w.drop(c)
	}
}

// host returns the pool of a scheme and host name; w.mu is held. There are few: a search is quicker than a map.
func (w *wire) host(scheme, name string) *host {
	for _, h := range w.hosts {
		if h.name == name && h.scheme == scheme {
			return h
		}
	}
	h := &host{scheme: scheme, name: name, address: name, live: map[*conn]struct{}{}}
	if _, _, err := net.SplitHostPort(name); err != nil {
		port := "80"
		if scheme == "https" {
			port = "443"
		}
		h.address = net.JoinHostPort(trimBrackets(name), port)
	}
	w.hosts = append(w.hosts, h)
	return h
}

// trimBrackets removes the brackets around an IPv6 address.
func trimBrackets(name string) string {
	if n := len(name); n > 2 && name[0] == '[' && name[n-1] == ']' {
		return name[1 : n-1]
	}
	return name
}

// dial opens a connection.
func (w *wire) dial(ctx context.Context, h *host, deadline time.Time) (*conn, error) {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	raw, err := w.dialer.DialContext(ctx, "tcp", h.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, host: h, probe: newProbe(raw)}
	if h.scheme == "https" {
		cfg := w.tls.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(h.address)
		}
		cfg.NextProtos = []string{"http/1.1"}
		secured := tls.Client(raw, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		c.Conn = secured
	}
	c.read, c.write = bufio.NewReaderSize(c, 4096), bufio.NewWriterSize(c.Conn, 4096)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		c.Close()
		return nil, errGivenUp
	}
	h.live[c] = struct{}{}
	return c, nil
}

// put makes a connection idle. The one used last is used next, so that no more are kept busy than needed.
func (w *wire) put(c *conn) {
	w.mu.Lock()
	c.host.idle = append(c.host.idle, c)
	w.mu.Unlock()
}

// drop closes a connection that is not idle.
func (w *wire) drop(c *conn) {
	c.Close()
	w.mu.Lock()
	delete(c.host.live, c)
	w.mu.Unlock()
}

// open reports whether close was not called yet.
func (w *wire) open() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.closed
}

// close closes all connections, those in use as well.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, h := range w.hosts {
		for c := range h.live {
			c.Close()
		}
	}
}
