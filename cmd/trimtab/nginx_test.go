package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/nginx"
	"trimtab/nginx/instance"
)

// startForNginx runs a private NGINX with one upstream and returns what the nginx commands need.
func startForNginx(t *testing.T) (i *instance.Instance, flags []string) {
	t.Helper()
	needNGINX(t)
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	i, err = instance.Start(t.Context(), dir, main+"events {}\nhttp {\n"+instance.HTTPPaths(dir)+
		"    upstream backend {\n        least_conn;\n        server 127.0.0.1:9001;\n        server 127.0.0.1:9002 "+
		"weight=2 max_fails=3;\n    }\n"+
		"    server { listen "+addr+"; location / { proxy_pass http://backend; } }\n}\n", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	return i, []string{"-c", i.Config, "--state-dir", filepath.Join(t.TempDir(), "state"), "--nginx", i.Binary,
		"--prefix", i.Dir}
}

// trimtab runs the program and returns its exit code and what it printed.
func trimtab(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestE2ENginxShowSetRollback(t *testing.T) {
	i, flags := startForNginx(t)
	cmd := func(args ...string) []string { return append(append([]string{"nginx"}, args...), flags...) }
	before, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}

	code, out, errs := trimtab(t, "nginx", "show", "-c", i.Config, "--json")
	var row upstreamJSON
	if err := json.Unmarshal([]byte(out), &row); err != nil || code != exitOK {
		t.Fatalf("show: got code %d, %v: %s%s", code, err, out, errs)
	}
	conforms(t, "trimtab nginx show", out)
	if row.Upstream != "backend" || row.Method != "least_conn" || len(row.Servers) != 2 || row.Servers[1].Weight != 2 ||
		row.File != i.Config {
		t.Errorf("show: got %+v", row)
	}

	set := []string{"set", "--upstream", "backend", "--weight", "127.0.0.1:9001=3", "--weight", "127.0.0.1:9002=5"}
	code, out, _ = trimtab(t, cmd(append(set, "--dry-run")...)...)
	if code != exitOK || !strings.Contains(out, "+        server 127.0.0.1:9002 weight=5 max_fails=3;") {
		t.Errorf("set --dry-run: got code %d: %s", code, out)
	}
	if now, _ := os.ReadFile(i.Config); !bytes.Equal(now, before) {
		t.Error("set --dry-run wrote something")
	}

	code, out, errs = trimtab(t, cmd(append(set, "--json")...)...)
	var receipt struct {
		Changed  bool           `json:"changed"`
		Reloaded bool           `json:"reloaded"`
		Weights  nginx.Settings `json:"weights"`
		TookMS   *float64       `json:"took_ms"`
	}
	if err := json.Unmarshal([]byte(out), &receipt); err != nil || code != exitOK {
		t.Fatalf("set: got code %d, %v: %s%s", code, err, out, errs)
	}
	conforms(t, "trimtab nginx set", out)
	if !receipt.Changed || !receipt.Reloaded || receipt.Weights["backend"]["127.0.0.1:9001"].Weight != 3 ||
		receipt.TookMS == nil {
		t.Errorf("set: got %s", out)
	}
	if code, out, errs = trimtab(t, cmd(set...)...); code != exitOK || !strings.Contains(out, "nothing to change") {
		t.Errorf("set again: got code %d: %s%s", code, out, errs)
	}

	if code, out, errs = trimtab(t, cmd("check")...); code != exitOK || strings.Contains(out, "FAIL") {
		t.Errorf("check: got code %d: %s%s", code, out, errs)
	}

	if code, out, errs = trimtab(t, cmd("rollback")...); code != exitOK || !strings.Contains(out, "in force after") {
		t.Errorf("rollback: got code %d: %s%s", code, out, errs)
	}
	if now, _ := os.ReadFile(i.Config); !bytes.Equal(now, before) {
		t.Errorf("after the rollback: got file\n%s", now)
	}
}

func TestE2ENginxExitCodes(t *testing.T) {
	i, flags := startForNginx(t)
	cmd := func(args ...string) []string { return append(append([]string{"nginx"}, args...), flags...) }
	one := []string{"set", "--upstream", "backend", "--weight", "127.0.0.1:9001=3"}
	for _, tt := range []struct {
		what string
		args []string
		code int
		says string
	}{
		{"no upstream is named", cmd("set", "--weight", "127.0.0.1:9001=3"), exitUsage, "want --upstream"},
		{"a weight without a number", cmd("set", "--upstream", "backend", "--weight", "127.0.0.1:9001=x"), exitUsage,
			"not a number"},
		{"no such file", []string{"nginx", "show", "-c", "/nonexistent/nginx.conf"}, exitConfig, "no such file"},
		{"no such upstream", cmd("set", "--upstream", "front", "--weight", "127.0.0.1:9001=3"), exitRefused,
			`no upstream "front"`},
		{"no such server", cmd("set", "--upstream", "backend", "--weight", "127.0.0.1:9=3"), exitRefused,
			"has no server"},
		{"a weight out of range", cmd("set", "--upstream", "backend", "--weight", "127.0.0.1:9001=101"), exitRefused,
			"want 1 to 100"},
		{"nothing to roll back", cmd("rollback"), exitRefused, "no change"},
		{"a status page that does not answer", cmd(append(one, "--status", "http://127.0.0.1:1/")...), exitTelemetry,
			"status page"},
	} {
		code, _, errs := trimtab(t, tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: got code %d and %q, want code %d and one line that says %q", tt.what, code, errs, tt.code,
				tt.says)
		}
	}
	if err := os.WriteFile(i.Config, []byte("http {"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := trimtab(t, cmd(one...)...); code != exitConfig ||
		!strings.Contains(errs, "nginx.conf:1: unexpected end of file") {
		t.Errorf("a file that does not parse: got code %d: %s", code, errs)
	}
	if code, out, _ := trimtab(t, cmd("check")...); code != exitRefused || !strings.Contains(out, "FAIL  config") {
		t.Errorf("check: got code %d: %s", code, out)
	}
}
