package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/socialnet"
	"trimtab/nginx/instance"
)

// testbedAddrs is what `testbed --json` prints.
type testbedAddrs struct {
	URL       string            `json:"url"`
	StatusURL string            `json:"status_url"`
	AdminURL  string            `json:"admin_url"`
	Backends  map[string]string `json:"backends"`
}

func startTestbed(t *testing.T, args ...string) (b testbedAddrs, stop func() int) {
	t.Helper()
	stdout, stderr, stop := start(t, append([]string{"testbed", "--json", "--listen", "127.0.0.1:" + freePort(t),
		"--out", t.TempDir(), "--seed", "1"}, args...)...)
	await(t, "the testbed", func() bool {
		if stderr.String() != "" && strings.Contains(stderr.String(), "trimtab:") {
			t.Fatal(stderr.String())
		}
		return strings.Contains(stdout.String(), "\n")
	})
	if err := json.Unmarshal([]byte(stdout.String()), &b); err != nil {
		t.Fatal(err)
	}
	conforms(t, "trimtab testbed", stdout.String())
	return b, stop
}

// freePort reserves no port, but the chance that another takes it before NGINX does is small.
func freePort(t *testing.T) string {
	t.Helper()
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(ports[0])
}

func fetch(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A fault set by hand over the admin call reaches what comes through NGINX, and ends when it is cleared.
func TestE2ETestbedFaultsByHand(t *testing.T) {
	needNGINX(t)
	b, stop := startTestbed(t, "--scenario", "identical")
	if len(b.Backends) != 3 || b.AdminURL == "" {
		t.Fatalf("got %+v, want three backends and an admin call", b)
	}
	read := b.URL + deathstarbench.UserTimelinePath + "?user_id=1&start=0&stop=10"
	if status, body := fetch(t, "GET", read, ""); status != 200 || strings.Count(body, `"post_id"`) != 3 {
		t.Errorf("got %d %s, want the three posts that the network was filled with", status, body)
	}
	for name := range b.Backends {
		if status, body := fetch(t, "POST", b.AdminURL+"/servers/"+name+"/faults",
			`{"kind":"error","probability":1}`); status != 201 {
			t.Fatalf("set fault: got %d %s", status, body)
		}
	}
	if status, body := fetch(t, "GET", read, ""); status != 500 || body != "injected failure\n" {
		t.Errorf("with faults: got %d %q, want 500", status, body)
	}
	for name := range b.Backends {
		if status, body := fetch(t, "DELETE", b.AdminURL+"/servers/"+name+"/faults/1", ""); status != 204 {
			t.Fatalf("clear fault: got %d %s", status, body)
		}
	}
	if status, body := fetch(t, "GET", read, ""); status != 200 {
		t.Errorf("after the faults: got %d %q, want 200", status, body)
	}
	if code := stop(); code != exitOK {
		t.Errorf("interrupted: got exit code %d, want %d", code, exitOK)
	}
}

// What is written through one testbed is read through another one that shares its Redis store.
func TestE2ETestbedsShareARedisStore(t *testing.T) {
	needNGINX(t)
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(server, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir,
		"--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, "redis-server", func() bool {
		store, err := socialnet.OpenStore(t.Context(), "unix://"+socket)
		if err == nil {
			_ = store.Close()
		}
		return err == nil
	})
	one, _ := startTestbed(t, "--scenario", "identical", "--store", "unix://"+socket)
	two, _ := startTestbed(t, "--scenario", "distant", "--store", "unix://"+socket)
	post := url.Values{"username": {"username_5"}, "user_id": {"5"}, "text": {"shared with @username_9"},
		"post_type": {"0"}}.Encode()
	if status, body := fetch(t, "POST", one.URL+deathstarbench.ComposePath, post); status != 200 {
		t.Fatalf("compose: got %d %s", status, body)
	}
	for _, path := range []string{deathstarbench.UserTimelinePath + "?user_id=5", deathstarbench.HomeTimelinePath +
		"?user_id=9"} {
		if status, body := fetch(t, "GET", two.URL+path+"&start=0&stop=1", ""); status != 200 ||
			!strings.Contains(body, `"text":"shared with @username_9"`) {
			t.Errorf("%s: got %d %s, want the post written through the other testbed", path, status, body)
		}
	}
}

func TestTestbedRefuses(t *testing.T) {
	needNGINX(t)
	for why, args := range map[string][]string{
		"an unknown scenario":                {"--scenario", "no-such"},
		"a store of another kind":            {"--store", "mysql://x"},
		"an admin call that anybody reaches": {"--admin", "0.0.0.0:0"},
	} {
		code, _, stderr := shell(t, append([]string{"testbed", "--listen", "127.0.0.1:" + freePort(t), "--out",
			t.TempDir()}, args...)...)
		if code != exitConfig || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: got exit code %d, %q, want %d and one line", why, code, stderr, exitConfig)
		}
	}
}
