package loadgen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// countingServer counts connections and the most requests in service at once.
type countingServer struct {
	url         string
	connections atomic.Int64
	now, most   atomic.Int64
}

func countConnections(t *testing.T, handler http.HandlerFunc) *countingServer {
	t.Helper()
	c := &countingServer{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := c.now.Add(1)
		for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
		}
		handler(w, r)
		c.now.Add(-1)
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func TestConnectionsAreReusedUnlessToldOtherwise(t *testing.T) {
	for _, c := range []struct {
		what     string
		change   func(*Config)
		low, top int64
	}{
		{"one worker needs one connection", func(c *Config) { c.MaxWorkers = 1 }, 1, 1},
		{"without keep-alive each request has its own", func(c *Config) {
			c.MaxWorkers = 1
			c.Client.NoKeepAlive = true
		}, 20, 20},
	} {
		srv := countConnections(t, hello)
		r := send(t, srv.url, 20, c.change)
		if n := srv.connections.Load(); r.Errors != 0 || n < c.low || n > c.top {
			t.Errorf("%s: got %d connections and failures %v, want %d to %d", c.what, n, r.ErrorSample, c.low, c.top)
		}
	}
}

func TestConnectionCapHolds(t *testing.T) {
	var wait sync.WaitGroup
	wait.Add(1)
	srv := countConnections(t, func(http.ResponseWriter, *http.Request) { wait.Wait() })
	var once sync.Once
	r := send(t, srv.url, 30, func(c *Config) {
		c.Client.Connections = 2
		c.OnSecond = func(Second) { once.Do(wait.Done) } // after the burst, which is shorter
	})
	if r.Errors != 0 || r.Requests != 30 || srv.connections.Load() != 2 || srv.most.Load() != 2 {
		t.Errorf("got %d requests, failures %v, %d connections, %d at once, want 30 over 2", r.Requests, r.ErrorSample,
			srv.connections.Load(), srv.most.Load())
	}
}

func TestWaitingForAConnectionTimesOut(t *testing.T) {
	hold := make(chan struct{})
	srv := countConnections(t, func(http.ResponseWriter, *http.Request) { <-hold })
	t.Cleanup(func() { close(hold) })
	r := send(t, srv.url, 10, func(c *Config) { c.Client.Connections, c.Client.Timeout = 1, 200*time.Millisecond })
	if r.ErrorKinds["timeout"] != 10 {
		t.Errorf("got failures %v, want 10 timeouts", r.ErrorKinds)
	}
}

// The server closes each connection while it is idle: no request, not even a POST, is lost to that.
func TestIdleConnectionsThatWereClosedAreNotUsed(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		closed := make(chan struct{}, 100)
		url := rawServer(t, func(c net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			c.Close()
			closed <- struct{}{}
		})
		sent := 0
		r := send(t, url, 30, func(c *Config) {
			c.MaxWorkers = 1
			c.Workloads[0].Targeter = func(target *vegeta.Target) error {
				if sent++; sent > 1 {
					select {
					case <-closed: // the connection of the request before
					case <-time.After(10 * time.Second):
						return errors.New("the request before did not reach the server")
					}
				}
				*target = vegeta.Target{Method: method, URL: url, Body: []byte(strings.Repeat("x", len(method)-3))}
				return nil
			}
		})
		if r.Errors != 0 || r.Requests != 30 {
			t.Errorf("%s: got failures %v of %d requests, want none of 30", method, r.ErrorSample, r.Requests)
		}
	}
}

// The server reads a second request and closes without an answer: a GET goes again over a new connection, a POST must
// not.
func TestOnlySafeRequestsAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		method string
		errors uint64
	}{{"GET", 0}, {"POST", 15}} {
		url := rawServer(t, func(conn net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			if req, err := http.ReadRequest(r); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
		})
		r := send(t, url, 30, func(cfg *Config) {
			cfg.MaxWorkers = 1
			cfg.Workloads[0].Targeter = vegeta.NewStaticTargeter(vegeta.Target{Method: c.method, URL: url})
		})
		if r.Errors != c.errors || r.ErrorKinds["closed"]+r.ErrorKinds["reset"] != c.errors || r.Requests != 30 {
			t.Errorf("%s: got failures %v of %d, want %d closed or reset", c.method, r.ErrorKinds, r.Requests, c.errors)
		}
	}
}

func TestRequestsArriveAsTheyWereAsked(t *testing.T) {
	type seen struct{ method, host, path, auth, own, body string }
	got := make(chan seen, 10)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.Host, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("X-Own"),
			string(body)}
	})
	r := send(t, url, 1, func(c *Config) {
		c.Client.Header = http.Header{"Authorization": {"Bearer token"}, "Host": {"shop.example"}}
		c.Workloads[0].Targeter = vegeta.NewStaticTargeter(vegeta.Target{Method: "PUT", URL: url + "/a?b=c",
			Body: []byte("data"), Header: http.Header{"X-Own": {"1"}}})
	})
	want := seen{"PUT", "shop.example", "/a?b=c", "Bearer token", "1", "data"}
	if first := <-got; first != want || r.BytesOut != 4 {
		t.Errorf("got %+v and %d bytes out, want %+v and 4", first, r.BytesOut, want)
	}
}

func TestRedirectsAreFollowedAsOftenAsAllowed(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err == nil && n > 0 {
			http.Redirect(w, r, fmt.Sprintf("/%d", n-1), http.StatusFound)
		}
	})
	for redirects, code := range map[int]int{0: 302, 1: 302, 2: 200, 5: 200} {
		r := send(t, url+"/2", 2, func(c *Config) { c.Client.Redirects = redirects })
		if r.Codes[code] != 2 {
			t.Errorf("two redirects, %d allowed: got status %v, want %d", redirects, r.Codes, code)
		}
	}
}

func TestManyHostsShareOneWorkload(t *testing.T) {
	a, b := countConnections(t, hello), countConnections(t, hello)
	r := send(t, a.url, 20, func(c *Config) {
		c.Workloads[0].Targeter = vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: a.url},
			vegeta.Target{Method: "GET", URL: b.url})
	})
	if r.Errors != 0 || a.connections.Load() == 0 || b.connections.Load() == 0 {
		t.Errorf("got failures %v, %d and %d connections, want both servers used", r.ErrorSample, a.connections.Load(),
			b.connections.Load())
	}
}

func TestHostAddresses(t *testing.T) {
	w := newWire(ClientConfig{})
	for _, c := range []struct{ scheme, name, want string }{
		{"http", "example.org", "example.org:80"},
		{"https", "example.org", "example.org:443"},
		{"http", "example.org:8080", "example.org:8080"},
		{"http", "[::1]", "[::1]:80"},
		{"https", "[::1]:8443", "[::1]:8443"},
	} {
		if got := w.host(c.scheme, c.name).address; got != c.want {
			t.Errorf("%s://%s: got %s, want %s", c.scheme, c.name, got, c.want)
		}
	}
	if a, b := w.host("http", "example.org"), w.host("http", "example.org"); a != b || len(w.hosts) != 5 {
		t.Errorf("got %d hosts, want one for each scheme and name", len(w.hosts))
	}
}
