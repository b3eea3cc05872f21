package vts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestClientReasons(t *testing.T) {
	good := page(1, 2, 4, 3)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) }) // before the servers close: they wait for their handlers
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, c := range []struct {
		sentence string
		url      string
		cfg      ClientConfig
		handler  http.HandlerFunc
		reason   Reason
	}{
		{sentence: "a good page", handler: func(w http.ResponseWriter, _ *http.Request) { w.Write(good) }},
		{sentence: "nobody listens", url: closed.URL, reason: ReasonConnect},
		{sentence: "404", handler: http.NotFound, reason: ReasonHTTP},
		{sentence: "500", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
			reason: ReasonHTTP},
		{sentence: "a redirect to a login page", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/login", http.StatusFound)
		}, reason: ReasonHTTP},
		{sentence: "HTML with 200", handler: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "<html>")
		}, reason: ReasonNotJSON},
		{sentence: "an empty body", handler: func(http.ResponseWriter, *http.Request) {}, reason: ReasonNotJSON},
		{sentence: "a body cut off by the connection", reason: ReasonConnect,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(good)))
				w.Write(good[:100])
				panic(http.ErrAbortHandler)
			}},
		{sentence: "a page said to be larger than the limit", cfg: ClientConfig{MaxBytes: 1000}, reason: ReasonTooLarge,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(good)))
				w.Write(good)
			}},
		{sentence: "a gigabyte without a length", cfg: ClientConfig{MaxBytes: 1 << 20, Timeout: 20 * time.Second},
			reason: ReasonTooLarge, handler: func(w http.ResponseWriter, _ *http.Request) {
				blank := []byte(strings.Repeat(" ", 1<<20))
				for range 1 << 10 {
					if _, err := w.Write(blank); err != nil {
						return
					}
				}
			}},
		{sentence: "headers that never come", cfg: ClientConfig{Timeout: 50 * time.Millisecond}, reason: ReasonTimeout,
			handler: func(_ http.ResponseWriter, r *http.Request) {
				select {
				case <-hang:
				case <-r.Context().Done():
				}
			}},
		{sentence: "a body that trickles", cfg: ClientConfig{Timeout: 100 * time.Millisecond}, reason: ReasonTimeout,
			handler: func(w http.ResponseWriter, r *http.Request) {
				for {
					if _, err := w.Write([]byte(" ")); err != nil {
						return
					}
					w.(http.Flusher).Flush()
					select {
					case <-hang:
						return
					case <-r.Context().Done():
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
			}},
	} {
		c.cfg.URL = c.url
		if c.handler != nil {
			c.cfg.URL = serve(t, c.handler)
		}
		client, err := NewClient(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		st, err := client.Status(t.Context())
		if ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v (%s), want reason %q", c.sentence, err, ReasonOf(err), c.reason)
		}
		if err == nil && (len(st.Upstreams) != 1 || st.At.IsZero() || st.Took <= 0) {
			t.Errorf("%s: got %+v", c.sentence, st)
		}
		client.Close()
	}
}

func TestClientAsksAsItIsTold(t *testing.T) {
	var got *http.Request
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { got = r; w.Write(page(1, 1, 0, 0)) })
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // must not matter
	client, err := NewClient(ClientConfig{URL: url + "/s", Username: "me", Password: "secret",
		Header: http.Header{"X-Token": {"t"}, "Host": {"lb.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	user, password, _ := got.BasicAuth()
	if user != "me" || password != "secret" || got.Header.Get("X-Token") != "t" || got.Host != "lb.example" ||
		got.URL.Path != "/s" {
		t.Errorf("got %s %s, host %s, user %s:%s, header %v", got.Method, got.URL, got.Host, user, password, got.Header)
	}
	if enc := got.Header.Get("Accept-Encoding"); enc != "" {
		t.Errorf("got Accept-Encoding %q, want none", enc)
	}
}

func TestClientOverUnixSocketAndTLS(t *testing.T) {
	body := page(1, 1, 0, 0)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status/format/json" {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	server.Start()
	defer server.Close()
	secure := httptest.NewUnstartedServer(h)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake
	secure.StartTLS()
	defer secure.Close()
	trust := secure.Client().Transport.(*http.Transport).TLSClientConfig
	for _, c := range []struct {
		sentence string
		cfg      ClientConfig
		fails    bool
	}{
		{"a Unix socket", ClientConfig{URL: "http+unix://" + socket + ":/status/format/json"}, false},
		{"TLS with the right authority", ClientConfig{URL: secure.URL + "/status/format/json", TLS: trust}, false},
		{"TLS without it", ClientConfig{URL: secure.URL + "/status/format/json"}, true},
	} {
		client, err := NewClient(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Status(t.Context()); (err != nil) != c.fails {
			t.Errorf("%s: got %v, want failure %v", c.sentence, err, c.fails)
		}
		client.Close()
	}
}

func TestClientRefusesURLs(t *testing.T) {
	for _, url := range []string{"", "status", "ftp://x/", "http://", "http+unix://relative:/x", "http+unix:///s",
		"http://a b/"} {
		if _, err := NewClient(ClientConfig{URL: url}); err == nil {
			t.Errorf("%q: got no error", url)
		}
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	began := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(began); <-r.Context().Done() })
	client, err := NewClient(ClientConfig{URL: url, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := client.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
