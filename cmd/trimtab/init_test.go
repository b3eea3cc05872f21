package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// initBed is an NGINX as an operator has it: two servers, a folder that it includes, no status page.
type initBed struct {
	*instance.Instance
	folder, config string
}

func newInitBed(t *testing.T) *initBed {
	t.Helper()
	needNGINX(t)
	modules, err := instance.LuaModules()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	b := &initBed{folder: filepath.Join(dir, "conf.d"), config: filepath.Join(dir, "trimtab.toml")}
	if err := os.Mkdir(b.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	var servers []any
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		}))
		t.Cleanup(s.Close)
		servers = append(servers, s.Listener.Addr())
	}
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	front := freeAddr(t)
	text := modules + main + "events {}\nhttp {\n" + instance.HTTPPaths(dir) + "    include " + b.folder +
		"/*.conf;\n" +
		fmt.Sprintf("    upstream app {\n        server %s;\n        server %s weight=2;\n    }\n", servers...) +
		"    upstream single { server 127.0.0.1:1; }\n    server { listen " + front + "; location / { proxy_pass " +
		"http://app; } }\n}\n"
	if b.Instance, err = instance.Start(t.Context(), dir, text, front); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

func TestEveryConfigurationHasASocketOfItsOwn(t *testing.T) {
	for config, want := range map[string]string{
		"/etc/trimtab/trimtab.toml":   "unix:/run/trimtab/trimtab.sock",
		"/etc/trimtab/second.toml":    "unix:/run/trimtab/second.sock",
		"/root/practice/trimtab.toml": "unix:/run/trimtab/trimtab-practice.sock",
	} {
		if got := listenFor(config); got != want {
			t.Errorf("%s: got %s, want %s", config, got, want)
		}
	}
}

// inThisNamespace skips where the NGINX of the tests has a mount namespace of its own: for init it is a container's.
func inThisNamespace(t *testing.T) {
	t.Helper()
	if os.Getenv("TRIMTAB_SUITE") != "" {
		t.Skip("the NGINX of the matrix has a mount namespace of its own, as in a container")
	}
}

func (b *initBed) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t.Context(), append(args, "--config", b.config)...)
}

// From an NGINX without a status page to a configuration that the doctor is content with, and back.
func TestE2EInitAndUndo(t *testing.T) {
	t.Parallel()
	inThisNamespace(t)
	b := newInitBed(t)
	before, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	args := []string{"init", "--nginx-config", b.Config, "--state-dir", state, "--actuator", "reload", "--observe",
		"1s"}
	if code, stdout, stderr := b.run(t, append(args, "--dry-run", "--yes")...); code != exitOK ||
		!strings.Contains(stdout, "Would write "+b.config) {
		t.Fatalf("dry run: got code %d, %s and %s, want what would be written", code, stdout, stderr)
	}
	if _, err := os.Stat(b.config); err == nil {
		t.Fatal("a dry run has written the configuration")
	}
	if code, _, stderr := b.run(t, args...); code != exitUsage || !strings.Contains(stderr, "--yes") {
		t.Fatalf("with nobody to ask: got code %d and %s, want %d and a word of --yes", code, stderr, exitUsage)
	}
	code, stdout, stderr := b.run(t, append(args, "--yes")...)
	if code != exitOK || !strings.Contains(stdout, "sudo trimtab tune --config "+b.config) ||
		!strings.Contains(stdout, "left alone     single: it has one server") {
		t.Fatalf("init: got code %d, %s and %s, want the next commands with the paths", code, stdout, stderr)
	}
	if code, _, stderr := b.run(t, append(args, "--yes")...); code != exitConfig ||
		!strings.Contains(stderr, "--undo") {
		t.Errorf("init again: got code %d and %s, want %d and the way back", code, stderr, exitConfig)
	}
	t.Run("the doctor is content", func(t *testing.T) {
		code, stdout, stderr := b.run(t, "doctor", "--json")
		if code != exitOK {
			t.Errorf("got code %d, %s and %s, want %d", code, stdout, stderr, exitOK)
		}
		conforms(t, "trimtab doctor", stdout)
		seen := map[string]string{}
		for line := range strings.Lines(stdout) {
			var d diagnosis
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			seen[d.Area+" "+d.Check] = d.Status
		}
		for _, check := range []string{"configuration named files", "nginx master", "telemetry same NGINX", "telemetry probe",
			"telemetry servers", "actuator circuit breaker"} {
			if seen[check] != statusOK {
				t.Errorf("%s: got %q, want ok", check, seen[check])
			}
		}
	})
	t.Run("the doctor sees the page of another NGINX", func(t *testing.T) {
		other := newInitBed(t)
		text, err := os.ReadFile(b.config)
		if err != nil {
			t.Fatal(err)
		}
		wrong := filepath.Join(t.TempDir(), "wrong.toml")
		if err := os.WriteFile(wrong, []byte(strings.ReplaceAll(string(text), b.Config, other.Config)),
			0o644); err != nil {
			t.Fatal(err)
		}
		if code, stdout, _ := command(t.Context(), "doctor", "--config", wrong); code != exitTelemetry ||
			!strings.Contains(stdout, "same NGINX: ") {
			t.Errorf("got code %d and %s, want %d", code, stdout, exitTelemetry)
		}
		proxied := strings.Replace(string(text), "[status]", "[status]\nproxied = true", 1)
		if err := os.WriteFile(wrong, []byte(strings.ReplaceAll(proxied, b.Config, other.Config)), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, stdout, _ := command(t.Context(), "doctor", "--config", wrong); code != exitTelemetry ||
			!strings.Contains(stdout, "probe: 5 requests to 127.0.0.1:") {
			t.Errorf("through a proxy: got code %d and %s, want %d and what the probe says", code, stdout, exitTelemetry)
		}
	})
	// What the daemon would have done until then: another weight, and a server that fails marked down.
	read, err := nginx.ReadConfig(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	peers := read.Upstreams[slices.IndexFunc(read.Upstreams, func(u *nginx.Upstream) bool { return u.Name == "app" })].Peers
	tuned := &nginx.Applier{Config: b.Config, StateDir: filepath.Join(state, "nginx"), Eject: true}
	if _, err := tuned.Apply(t.Context(), nginx.Settings{"app": {peers[0].Address: {Weight: 1, Down: true},
		peers[1].Address: {Weight: 9}}}); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = b.run(t, "init", "--undo")
	if code != exitOK || !strings.Contains(stdout, "the weights of before are back in force") {
		t.Fatalf("undo: got code %d, %s and %s", code, stdout, stderr)
	}
	for _, path := range []string{b.config, filepath.Join(b.folder, "trimtab-status.conf"),
		filepath.Join(b.Dir, "trimtab")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if after, err := os.ReadFile(b.Config); err != nil || string(after) != string(before) {
		t.Errorf("got nginx.conf %s, %v, want that of before", after, err)
	}
}

// Where NGINX takes weights by DNS, init chooses that, and undo brings the operator's lines back.
func TestE2EInitByDNSAndUndo(t *testing.T) {
	needDNS(t)
	inThisNamespace(t)
	b := newInitBed(t)
	before, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := b.run(t, "init", "--yes", "--nginx-config", b.Config, "--state-dir",
		filepath.Join(t.TempDir(), "state"), "--observe", "1s")
	if code != exitOK || !strings.Contains(stdout, "weights by     dns: no reload, no module") {
		t.Fatalf("init: got code %d, %s and %s, want weights by DNS", code, stdout, stderr)
	}
	text, err := os.ReadFile(b.config)
	if err != nil || !strings.Contains(string(text), `kind = "dns"`) {
		t.Errorf("got %s, %v, want kind = \"dns\"", text, err)
	}
	if now, err := os.ReadFile(b.Config); err != nil || !strings.Contains(string(now), "service=http resolve; # trimtab dns") {
		t.Errorf("got nginx.conf %s, %v, want lines that ask Trimtab", now, err)
	} else if !strings.Contains(string(now), "upstream single { server 127.0.0.1:1; }") {
		t.Errorf("got nginx.conf %s, want the upstream of one server left alone, as init said", now)
	}
	if code, stdout, stderr = b.run(t, "init", "--undo"); code != exitOK {
		t.Fatalf("undo: got code %d, %s and %s", code, stdout, stderr)
	}
	if after, err := os.ReadFile(b.Config); err != nil || string(after) != string(before) {
		t.Errorf("got nginx.conf %s, %v, want that of before", after, err)
	}
}
