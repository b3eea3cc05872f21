package localhttp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves on the address until the test ends and returns where.
func serve(t *testing.T, address string, l Limits, users ...int) string {
	t.Helper()
	listener, err := Listen(t.Context(), address, l, users...)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }), l)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-done })
	return listener.Addr().String()
}

// get asks a server and returns the status, 0 with an error.
func get(t *testing.T, address string, header http.Header) (int, error) {
	t.Helper()
	client, base := Client(address)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		if name == "Host" {
			req.Host = values[0]
			continue
		}
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, nil
}

func TestGuard(t *testing.T) {
	address := serve(t, "127.0.0.1:0", Limits{})
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"a program on this machine", nil, 200},
		{"localhost by name", http.Header{"Host": {"localhost:1"}}, 200},
		{"IPv6", http.Header{"Host": {"[::1]:1"}}, 200},
		{"another name that leads here", http.Header{"Host": {"evil.test"}}, 403},
		{"a name that begins as localhost does", http.Header{"Host": {"localhost.evil.test"}}, 403},
		{"no host", http.Header{"Host": {""}}, 200}, // the client names the address then
		{"a page of this server", http.Header{"Origin": {"http://" + address}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"a page of another origin", http.Header{"Origin": {"https://evil.test"}}, 403},
		{"a page of another port here", http.Header{"Origin": {"http://127.0.0.1:1"}}, 403},
		{"a page without an origin to name", http.Header{"Origin": {"null"}}, 403},
		{"two origins, one of them right", http.Header{"Origin": {"http://" + address, "https://evil.test"}}, 403},
		{"an image on another page", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a person who typed the address", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := get(t, address, c.header); err != nil || got != c.status {
				t.Errorf("got %d, %v, want %d", got, err, c.status)
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	address := serve(t, "127.0.0.1:0", Limits{Connections: 3})
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	deadline := time.Now().Add(10 * time.Second)
	for { // the three are accepted a moment after they are connected
		if _, err := get(t, address, nil); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a fourth connection is served")
		}
	}
	open[0].Close()
	for {
		if code, err := get(t, address, nil); err == nil && code == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no connection is served once one has ended")
		}
	}
}

// A client that sends a byte now and then is cut off.
func TestSlowClientsAreCutOff(t *testing.T) {
	address := serve(t, "127.0.0.1:0", Limits{Header: 50 * time.Millisecond})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: loc"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open after 10 s, want it closed")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "t.sock")
	serve(t, "unix:"+path, Limits{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	if got, err := get(t, "unix:"+path, nil); err != nil || got != 200 {
		t.Errorf("got %d, %v, want 200", got, err)
	}
	if _, err := Listen(t.Context(), "unix:"+path, Limits{}); err == nil || !strings.Contains(err.Error(),
		"another process listens") {
		t.Errorf("got %v for a second listener, want that there is one", err)
	}
}

func TestUnixSocketOfOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	dir, err := os.MkdirTemp("/tmp", "trimtab-socket-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	ask := func(path string) error {
		cmd := exec.CommandContext(t.Context(), curl, "-sf", "--max-time", "5", "--unix-socket", path,
			"http://localhost/")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd.Run()
	}
	for _, c := range []struct {
		name  string
		users []int
		ok    bool
	}{{"nobody is not let in", nil, false}, {"another user is let in, nobody is not", []int{1234}, false},
		{"a user that was named is", []int{nobody}, true}} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(c.name[:8], " ", "-"))
			serve(t, "unix:"+path, Limits{}, c.users...)
			if err := ask(path); (err == nil) != c.ok {
				t.Errorf("got %v, want an answer: %t", err, c.ok)
			}
		})
	}
}

func TestWhatStandsAtASocketsPlace(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	serve(t, "unix:"+stale, Limits{})
	if got, err := get(t, "unix:"+stale, nil); err != nil || got != 200 {
		t.Errorf("in place of a socket that was left behind: got %d, %v, want 200", got, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+file, Limits{}); err == nil {
		t.Error("a file was replaced by a socket")
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+filepath.Join(open, "s"), Limits{}); err == nil ||
		!strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("got %v in a folder of everyone's, want the command that mends it", err)
	}
}

func TestCheckAddress(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:9146": true, "[::1]:0": true, "localhost:80": true, "unix:/run/trimtab/t.sock": true,
		"0.0.0.0:9146": false, ":9146": false, "10.0.0.1:80": false, "127.0.0.1": false, "unix:t.sock": false,
		"evil.test:80":                      false,
		"unix:/" + strings.Repeat("x", 200): false,
	} {
		if err := CheckAddress(address); (err == nil) != ok {
			t.Errorf("%s: got %v, want ok: %t", address, err, ok)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add("localhost", "http://localhost", "same-origin")
	f.Add("[::1", "null", "")
	f.Fuzz(func(t *testing.T, host, origin, site string) {
		req := &http.Request{Host: host, Header: http.Header{"Origin": {origin}, "Sec-Fetch-Site": {site}}}
		if isLocal(host) && strings.Contains(host, "evil") {
			t.Errorf("host %q is taken for this machine", host)
		}
		if sameOrigin(req) && strings.Contains(origin, "evil") && !strings.Contains(strings.ToLower(host), "evil") {
			t.Errorf("origin %q is taken for %q", origin, host)
		}
	})
}
