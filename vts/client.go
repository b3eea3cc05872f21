package vts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"
)

// ClientConfig says where the status page is and how to ask for it.
type ClientConfig struct {
	// URL of the page, such as http://127.0.0.1:8080/status/format/json.
	// http+unix:///run/nginx.sock:/status/format/json asks over a Unix socket; the path follows a colon, as in
	// NGINX's proxy_pass.
	URL string
	// Timeout of one request, from dialling to the last byte of the body; 0 means 2 s.
	Timeout time.Duration
	// MaxBytes is the largest body that is read; 0 means 16 MiB.
	MaxBytes int
	// Username and Password are sent as basic authentication when Username is not empty.
	Username, Password string
	// Header is added to every request; a Host among them names the virtual server.
	Header http.Header
	// TLS is used for https; nil means the system's roots.
	TLS *tls.Config
	// FreshConnections makes every request open a connection of its own. After a reload only that reaches a worker of
	// the new configuration for certain.
	FreshConnections bool
}

const (
	defaultTimeout  = 2 * time.Second
	defaultMaxBytes = 16 << 20
)

// Client asks one NGINX for its status page. It may be used from several goroutines; a Poller never has more than one
// request in flight.
type Client struct {
	http     *resty.Client
	kept     *resty.Client // keeps its connection, see Origin
	url      string
	shown    string // url without secrets, for people
	maxBytes int
	timeout  time.Duration
	bodies   sync.Pool // of *[]byte
}

// NewClient checks cfg and returns a client; it does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	target, socket, err := splitURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("status URL %q: %w", Redact(cfg.URL), err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Timeout < 0 || cfg.MaxBytes < 0 {
		return nil, errors.New("status client: timeout and body limit must be positive")
	}
	dialer := &net.Dialer{Timeout: cfg.Timeout, KeepAlive: 15 * time.Second}
	transport := &http.Transport{
		Proxy:                  nil, // the page is asked for directly, whatever the environment says
		DialContext:            dialer.DialContext,
		TLSClientConfig:        cfg.TLS,
		TLSHandshakeTimeout:    cfg.Timeout,
		ResponseHeaderTimeout:  cfg.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		// no Accept-Encoding: a compressed page costs NGINX more than the bytes it saves here
		DisableCompression:  true,
		DisableKeepAlives:   cfg.FreshConnections,
		MaxIdleConns:        1,
		MaxIdleConnsPerHost: 1,
		MaxConnsPerHost:     2,
		IdleConnTimeout:     90 * time.Second,
	}
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	kept := transport.Clone()
	kept.DisableKeepAlives = false
	return &Client{http: ask(cfg, transport), kept: ask(cfg, kept), url: target, shown: Redact(target),
		maxBytes: cfg.MaxBytes, timeout: cfg.Timeout}, nil
}

// ask returns what sends the requests over the transport.
func ask(cfg ClientConfig, transport *http.Transport) *resty.Client {
	// A redirect is an answer from something that is not the status page.
	c := resty.NewWithClient(&http.Client{Transport: transport, Timeout: cfg.Timeout}).
		SetRedirectPolicy(resty.NoRedirectPolicy()).
		SetHeader("Accept", "application/json").
		SetHeader("User-Agent", "trimtab")
	c.SetLogger(silent{}) // what goes wrong is returned, and logged once by the caller
	if cfg.Username != "" {
		c.SetBasicAuth(cfg.Username, cfg.Password).SetDisableWarn(true)
	}
	for key, values := range cfg.Header {
		for _, v := range values {
			c.Header.Add(key, v)
		}
	}
	return c
}

// silent keeps resty from logging.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// splitURL returns the URL to ask for and the Unix socket to ask it on, "" for TCP.
func splitURL(raw string) (target, socket string, err error) {
	if rest, ok := strings.CutPrefix(raw, "http+unix://"); ok {
		socket, path, ok := strings.Cut(rest, ":")
		if !ok || !strings.HasPrefix(socket, "/") || !strings.HasPrefix(path, "/") {
			return "", "", errors.New("want http+unix:///path/of/socket:/path/of/page")
		}
		return "http://localhost" + path, socket, nil
	}
	u, err := url.Parse(raw)
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return "", "", e.Err // without the address, which the caller shows redacted
	}
	if err != nil {
		return "", "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", "", errors.New("want http://, https:// or http+unix://")
	}
	return raw, "", nil
}

// Close drops the idle connection.
func (c *Client) Close() {
	c.http.GetClient().CloseIdleConnections()
	c.kept.GetClient().CloseIdleConnections()
}

// Origin asks for the page once and has look see the connection when the answer has begun, so that the far end can be
// recognised. The connection is a new one, and a kept one, since a server that is to close it may have done so already.
// Origin fails with what Body fails with, and with what look returns.
func (c *Client) Origin(ctx context.Context, look func(net.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var conn net.Conn
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { conn = got.Conn }}
	c.kept.GetClient().CloseIdleConnections()
	defer c.kept.GetClient().CloseIdleConnections()
	resp, err := c.kept.R().SetContext(httptrace.WithClientTrace(ctx, trace)).SetDoNotParseResponse(true).Get(c.url)
	if err != nil {
		return c.classify(ctx, err)
	}
	defer resp.RawResponse.Body.Close()
	if resp.RawResponse.StatusCode != http.StatusOK {
		return reject(ReasonHTTP, "get %s: %s", c.shown, resp.RawResponse.Status)
	}
	if conn == nil {
		return reject(ReasonConnect, "get %s: no connection", c.shown)
	}
	return look(conn)
}

// Body asks for the page once and returns the bytes of the reply, in buf if it is large enough. Its errors carry a
// Reason.
func (c *Client) Body(ctx context.Context, buf []byte) ([]byte, error) {
	// The body is read here rather than by resty, into memory that is used again.
	resp, err := c.http.R().SetContext(ctx).SetDoNotParseResponse(true).Get(c.url)
	if err != nil {
		return nil, c.classify(ctx, err)
	}
	raw := resp.RawResponse
	defer raw.Body.Close()
	if raw.StatusCode != http.StatusOK {
		return nil, reject(ReasonHTTP, "get %s: %s", c.shown, raw.Status)
	}
	if raw.ContentLength > int64(c.maxBytes) {
		return nil, reject(ReasonTooLarge, "get %s: %d bytes, more than %d", c.shown, raw.ContentLength, c.maxBytes)
	}
	if need := int(raw.ContentLength) + 1; need > cap(buf) { // with room for the read that finds the end
		buf = make([]byte, 0, need)
	}
	for buf = buf[:0]; ; {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := raw.Body.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; len(buf) > c.maxBytes {
			return nil, reject(ReasonTooLarge, "get %s: more than %d bytes", c.shown, c.maxBytes)
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, c.classify(ctx, err)
		}
	}
}

func (c *Client) classify(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(cause, context.Canceled) {
		return fmt.Errorf("get %s: %w", c.shown, cause)
	}
	reason := ReasonConnect
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, resty.ErrAutoRedirectDisabled):
		reason = ReasonHTTP
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		reason = ReasonTimeout
	}
	// net/url wraps what happened in the method and URL, which stand here already.
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return reject(reason, "get %s: %w", c.shown, err)
}

// Status asks for the page once. Its errors carry a Reason.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.StatusInto(ctx, &st)
	return st, err
}

// StatusInto is Status into memory that is used again: see Decode.
func (c *Client) StatusInto(ctx context.Context, st *Status) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout) // of the whole poll: asking, reading and decoding
	defer cancel()
	sent := time.Now()
	buf, _ := c.bodies.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer c.bodies.Put(buf)
	body, err := c.Body(ctx, *buf)
	if err != nil {
		return err
	}
	*buf = body
	at := time.Now()
	if err := DecodeContext(ctx, body, at, st); err != nil {
		return fmt.Errorf("decode the reply of %s: %w", c.shown, err)
	}
	if err := st.Shows(); err != nil {
		return fmt.Errorf("%s: %w", c.shown, err)
	}
	st.Took = at.Sub(sent)
	return nil
}
