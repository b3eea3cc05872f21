package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownScenario is a world of two services of its own, one of them POST with a body.
const ownScenario = `name = "shop"
duration = "20s"
warmup = "1s"

[[workload]]
name = "checkout"
method = "POST"
path = "/cart?order={seq}"
body = '{"item": {id}, "note": "{text:40}"}'
bytes = 1200

[[workload]]
name = "search"
path = "/search/{text:8}"
bytes = 4000

[[server]]
name = "a"
slots = 2
service = { checkout = "10ms", search = "4ms" }

[[server]]
name = "b"
slots = 6
service = { checkout = "10ms", search = "4ms" }

[[upstream]]
name = "checkout_backend"
workload = "checkout"
servers = ["a", "b"]

[[upstream]]
name = "search_backend"
workload = "search"
servers = ["a", "b"]

[[load]]
workload = "checkout"
arrival = "exp"
phases = [{ at = "0s", rate = 60 }]

[[load]]
workload = "search"
arrival = "exp"
phases = [{ at = "0s", rate = 90 }]
`

// Services of one's own are served through NGINX, and played by the simulator.
func TestE2EOwnServices(t *testing.T) {
	needNGINX(t)
	path := filepath.Join(t.TempDir(), "shop.toml")
	if err := os.WriteFile(path, []byte(ownScenario), 0o644); err != nil {
		t.Fatal(err)
	}
	b, stop := startTestbed(t, "--scenario", path)
	for _, c := range []struct {
		name, method, path string
		status             int
	}{
		{"a POST with a body", "POST", "/cart?order=1", 200},
		{"a path with a placeholder", "GET", "/search/abc", 200},
		{"a path that no service has", "GET", "/other", 404},
		{"a path that only begins like one", "POST", "/cart/1", 404},
	} {
		if status, body := fetch(t, c.method, b.URL+c.path, `{"item": 1}`); status != c.status {
			t.Errorf("%s: got %d %.80q, want %d", c.name, status, body, c.status)
		}
	}
	if code := stop(); code != exitOK {
		t.Errorf("interrupted: got exit code %d, want %d", code, exitOK)
	}
	code, out, stderr := runCapture("arena", path, "--policy", "equal", "--json", "--out", t.TempDir())
	if code != exitOK || !strings.Contains(out, `"checkout_backend"`) || !strings.Contains(out, `"errors":0`) {
		t.Errorf("in the simulator: got exit code %d, %s %s", code, out, stderr)
	}
}
