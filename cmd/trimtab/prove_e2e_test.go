package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/prove"
)

// An experiment on a real NGINX: both arms come into force, a restart in the middle goes on, --stop ends it, and the
// result is there as text, JSON and page.
func TestE2EExperimentOnARealNGINX(t *testing.T) {
	b := startBed(t)
	b.configure("[prove]\nenabled = true\nblock = \"4s\"\nwash_out = \"1s\"\nduration = \"10m\"\nmeasure = \"mean\"\n")
	b.load()
	result := func() (r prove.Result, ok bool) {
		code, stdout, _ := command(t.Context(), "prove", "--config", b.config, "--json")
		if code != exitOK {
			return r, false
		}
		conforms(t, "trimtab prove", stdout)
		r.Experiment = new(prove.Experiment)
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		return r, true
	}
	blocks := func() int {
		r, ok := result()
		if !ok {
			return 0
		}
		return r.Measured()
	}
	operator := fmt.Sprint(b.weights())
	_, stderr, stop := start(t, "tune", "--config", b.config)
	seen := map[bool]bool{}
	await(t, "both arms", func() bool {
		seen[fmt.Sprint(b.weights()) == operator] = true
		return seen[true] && seen[false] && blocks() >= 2
	})
	before := blocks()
	if code := stop(); code != exitOK {
		t.Fatalf("stopped: code %d: %s", code, stderr)
	}
	if n := blocks(); n < before {
		t.Errorf("from the file: %d blocks, had %d", n, before)
	}
	_, stderr, _ = start(t, "tune", "--config", b.config)
	await(t, "more blocks after a restart", func() bool { return blocks() > before })
	r, _ := result()
	if r.Restarts != 1 || len(r.Stages) != 1 {
		t.Errorf("after a restart: %d restarts, %d stages: %s", r.Restarts, len(r.Stages), stderr)
	}
	if code, stdout, errs := command(t.Context(), "prove", "--config", b.config, "--stop"); code != exitOK {
		t.Fatalf("--stop: code %d: %s%s", code, stdout, errs)
	}
	await(t, "the end", func() bool { r, ok := result(); return ok && r.Ended() })
	page := filepath.Join(b.dir, "proof.html")
	code, stdout, errs := command(t.Context(), "prove", "--config", b.config, "--html", page)
	if code != exitOK || !strings.Contains(stdout, "mean response") || !strings.Contains(stdout, "NGINX 1.") {
		t.Errorf("the report: code %d: %s%s", code, stdout, errs)
	}
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "   ") && len([]rune(line)) > 110 {
			t.Errorf("a row of %d columns: %s", len([]rune(line)), line)
		}
	}
	t.Log(stdout)
}

func TestProveWithoutADaemon(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no daemon and no experiment", []string{"--config", "none.toml"}, exitConfig, "none.toml"},
		{"a plan that is none", []string{"--measure", "p50", "x"}, exitUsage, "want p99, mean or art"},
		{"an estimate of nothing", []string{"--ahead"}, exitUsage, "name the file"},
		{"a file that is not there", []string{"none.ndjson"}, exitConfig, "none.ndjson"},
		{"the operator's weights in a form that is none", []string{"--operator", "api", "none.ndjson"}, exitUsage,
			"want an upstream"},
		{"two orders", []string{"--start", "--stop"}, exitUsage, "start"},
		{"no such scenario", []string{"--simulate", "none"}, exitConfig, "none"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := command(t.Context(), append([]string{"prove"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("code %d, %s, want %d and %q", code, stderr, c.code, c.says)
			}
		})
	}
}
