package loadgen

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"go.uber.org/goleak"

	"trimtab/loadgen/arrival"
)

// rawServer accepts connections and hands each, after its first request was read, to answer. It returns its URL.
func rawServer(t *testing.T, answer func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if req, err := http.ReadRequest(r); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					answer(c, r)
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/"
}

// send sends n requests in a burst of fixed arrivals and returns the report.
func send(t *testing.T, url string, n int, change func(*Config)) *Report {
	t.Helper()
	cfg := Config{
		Workloads: []Workload{{
			Name: "test", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
			Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(200),
				Duration: time.Duration(n) * 5 * time.Millisecond, Seed: 1}},
		}},
		LatenessBound: time.Minute, // so that a slow machine drops nothing
		Client:        ClientConfig{Timeout: 20 * time.Second},
	}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reply(text string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, text) }
}

// endless writes text again and again until the other side goes away.
func endless(c net.Conn, head, text string) {
	_, err := io.WriteString(c, head)
	for err == nil {
		_, err = io.WriteString(c, text)
	}
}

func TestFailuresAreCountedByKind(t *testing.T) {
	defer goleak.VerifyNone(t)
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	short := func(c *Config) { c.Client.Timeout = 100 * time.Millisecond }
	small := func(c *Config) { c.Client.MaxBody = 1000 }
	chunk := "3e8\r\n" + strings.Repeat("x", 1000) + "\r\n"
	for _, c := range []struct {
		what   string
		url    string
		answer func(net.Conn, *bufio.Reader)
		change func(*Config)
		want   Failure
	}{
		{"nobody listens", "http://" + refused.Addr().String() + "/", nil, nil, Refused},
		{"a name that cannot exist", "http://does-not-exist.invalid/", nil, nil, DNS},
		{"a request that cannot be built", "http://[::1/", nil, nil, BadTarget},
		{"a scheme that is not HTTP", "gopher://127.0.0.1/", nil, nil, BadTarget},
		{"a server error", "", reply("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), nil, ServerError},
		{"a client error with a body", "", reply("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"), nil, ClientError},
		{"a status that does not exist", "", reply("HTTP/1.1 799 What\r\nContent-Length: 0\r\n\r\n"), nil, BadStatus},
		{"garbage", "", reply("SSH-2.0-OpenSSH_9.2\r\n\r\n"), nil, Malformed},
		{"a header without a colon", "", reply("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), nil, Malformed},
		{"a chunk length that is no number", "", reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
			nil, Malformed},
		{"a content length that is no number", "", reply("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), nil,
			Malformed},
		{"a hundred provisional answers", "", reply(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100)), nil,
			Malformed},
		{"a header that never ends", "", func(c net.Conn, _ *bufio.Reader) {
			endless(c, "HTTP/1.1 200 OK\r\n", "A: "+strings.Repeat("x", 100)+"\r\n")
		}, nil, TooLarge},
		{"closed without an answer", "", func(net.Conn, *bufio.Reader) {}, nil, Closed},
		{"closed in the middle of the body", "", reply("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), nil,
			Closed},
		{"closed in the middle of the header", "", reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), nil, Closed},
		{"reset instead of an answer", "", func(c net.Conn, _ *bufio.Reader) { _ = c.(*net.TCPConn).SetLinger(0) }, nil,
			Reset},
		{"no answer at all", "", func(c net.Conn, r *bufio.Reader) { _, _ = r.Peek(1) }, short, Timeout},
		{"a body that stalls", "", func(c net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			_, _ = r.Peek(1)
		}, short, Timeout},
		{"a body that never ends, within the time", "", func(c net.Conn, _ *bufio.Reader) {
			endless(c, "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx")
		},
			func(c *Config) { short(c); c.Client.MaxBody = -1 }, Timeout},
		{"a body that never ends, within its limit", "", func(c net.Conn, _ *bufio.Reader) {
			endless(c, "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx")
		}, small, TooLarge},
		{"a chunked body that never ends", "", func(c net.Conn, _ *bufio.Reader) {
			endless(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)
		}, small, TooLarge},
	} {
		t.Run(c.what, func(t *testing.T) {
			url := c.url
			if url == "" {
				url = rawServer(t, c.answer)
			}
			r := send(t, url, 3, c.change)
			if r.Requests != 3 || r.ErrorKinds[c.want.String()] != 3 {
				t.Errorf("got %d requests, failures %v, want 3 of kind %s", r.Requests, r.ErrorKinds, c.want)
			}
			if c.want != Success && r.ErrorSample[c.want.String()] == "" {
				t.Errorf("got no example of kind %s", c.want)
			}
		})
	}
}

func TestGoodAnswersAreNoFailures(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, c := range []struct {
		what   string
		answer string
		bytes  uint64
	}{
		{"a body until the connection closes", "HTTP/1.0 200 OK\r\n\r\nhello", 5},
		{"a chunked body with a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " +
			"X\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n", 5},
		{"a provisional answer before the final one", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 " +
			"OK\r\nContent-Length: 2\r\n\r\nhi", 2},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", 0},
		{"a redirect that is not followed", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 3\r\n\r\nbye", 3},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := send(t, rawServer(t, reply(c.answer)), 3, nil)
			if r.Errors != 0 || r.Requests != 3 || r.BytesIn != 3*c.bytes {
				t.Errorf("got %d requests, failures %v %v, %d bytes, want 3, none, %d", r.Requests, r.ErrorKinds,
					r.ErrorSample, r.BytesIn, 3*c.bytes)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "secret")
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	for _, c := range []struct {
		what string
		url  string
		tls  *tls.Config
		kind string
	}{
		{"a certificate that nobody vouches for fails", srv.URL, nil, "tls"},
		{"it passes with its own root", srv.URL, &tls.Config{RootCAs: roots}, ""},
		{"the root does not vouch for another name", srv.URL, &tls.Config{RootCAs: roots, ServerName: "other.example"},
			"tls"},
		{"it passes when nobody checks", srv.URL, &tls.Config{InsecureSkipVerify: true}, ""},
		{"plain HTTP to a TLS port is a client error", "http" + strings.TrimPrefix(srv.URL, "https"), nil,
			"status_4xx"},
	} {
		r := send(t, c.url, 3, func(cfg *Config) { cfg.Client.TLS = c.tls })
		if want := uint64(0); c.kind == "" && r.Errors != want || c.kind != "" && r.ErrorKinds[c.kind] != 3 {
			t.Errorf("%s: got failures %v, want kind %q", c.what, r.ErrorSample, c.kind)
		}
	}
}

func TestErrorsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for f := range failures {
		if name := f.String(); name == "" || seen[name] {
			t.Errorf("kind %d: got name %q, want one of its own", f, name)
		} else {
			seen[name] = true
		}
	}
	if got := Failure(200).String(); got != "other" {
		t.Errorf("a kind that does not exist: got %q, want other", got)
	}
}
