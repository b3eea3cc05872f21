package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/arena"
)

const arenaScenario = `
name = "tiny"
duration = "20s"
warmup = "2s"
control_interval = "2s"
[[server]]
name = "a"
slots = 1
service = { compose-post = "20ms" }
[[server]]
name = "b"
slots = 2
service = { compose-post = "20ms" }
[[upstream]]
name = "g"
workload = "compose-post"
servers = ["a", "b"]
deadline = "60ms"
[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 90 }]
`

func tinyScenario(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tiny.toml")
	if err := os.WriteFile(path, []byte(arenaScenario), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestArenaRows(t *testing.T) {
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"arena", tinyScenario(t), "--policy", "equal,least_conn/l3,oracle", "--seeds",
		"2", "--json", "--out", out,
		"--oracle-cache", t.TempDir()}, &stdout, &stderr)
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr.String())
	}
	kept, err := os.ReadFile(filepath.Join(out, "rows.ndjson"))
	if err != nil || !bytes.Equal(kept, stdout.Bytes()) {
		t.Errorf("rows.ndjson holds what stdout does: got %v", err)
	}
	conforms(t, "trimtab arena", stdout.String())
	traces, err := os.ReadFile(filepath.Join(out, "trace.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, "arena trace.ndjson", string(traces))
	lines := 0
	for line := range bytes.Lines(stdout.Bytes()) {
		lines++
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"scenario", "policy", "world", "seed", "requests", "errors", "rate_per_s",
			"latency_ms", "art_per_request", "error_ratio",
			"reloads", "intervals_to_90pct", "regret_vs_oracle", "weights"} {
			if _, ok := row[key]; !ok {
				t.Errorf("row has no %s: %s", key, line)
			}
		}
	}
	if lines != 6 {
		t.Errorf("3 policies and 2 seeds: got %d rows", lines)
	}
	doc := filepath.Join(out, "doc.md")
	if err := os.WriteFile(doc, []byte("<!-- arena:begin --><!-- arena:end -->"), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout.Reset()
	if code := run(t.Context(), []string{"arena", "report", filepath.Join(out, "rows.ndjson"), "--markdown", doc},
		&stdout, &stderr); code != exitOK {
		t.Fatalf("report: got code %d: %s", code, stderr.String())
	}
	if text, _ := os.ReadFile(doc); !bytes.Contains(text, []byte("| tiny |")) {
		t.Errorf("the document holds the tables: got %s", text)
	}
	for _, name := range []string{"arena.html", "trace.ndjson", "tiny-convergence.png"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestArenaRefuses(t *testing.T) {
	tiny := tinyScenario(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"arena"}, exitUsage, "got no argument"},
		{[]string{"arena", "nowhere"}, exitConfig, `scenario "nowhere"`},
		{[]string{"arena", tiny, tiny}, exitConfig, "named twice"},
		{[]string{"arena", tiny, "--policy", "magic"}, exitUsage, `unknown chooser "magic"`},
		{[]string{"arena", tiny, "--world", "moon"}, exitUsage, "want sim or testbed"},
		{[]string{"arena", tiny, "--seeds", "0"}, exitUsage, "--seeds 0"},
		{[]string{"arena", tiny, "--world", "testbed", "--policy", "least_time"}, exitUsage,
			"play least_time in the simulator"},
		{[]string{"arena", tiny, "--world", "testbed", "--policy", "equal,prequal"}, exitUsage,
			"play prequal in the simulator"},
		{[]string{"arena", tiny, "--world", "testbed", "--policy", "jsed"}, exitUsage, "play jsed in the simulator"},
		{[]string{"arena", tiny, "--policy", "equal", "--out", "/dev/null/x"}, exitConfig,
			"create the output directory"},
		{[]string{"arena", "serve", "--listen", "0.0.0.0:0"}, exitUsage, "loopback"},
		{[]string{"arena", "report", tiny}, exitConfig, "row 1"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(),
			c.says) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: got code %d and %q, want %d and %q in one line", c.args, code, stderr.String(), c.code,
				c.says)
		}
	}
}

func TestArenaInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := t.TempDir()
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- run(ctx, []string{"arena", tinyScenario(t), "--policy", "equal,l3", "--seeds", "100000", "--json",
			"--out", out, "--parallel", "1"}, writer, &stderr)
	}()
	lines := bufio.NewScanner(reader)
	for range 5 {
		if !lines.Scan() {
			t.Fatal("the arena ended early")
		}
	}
	cancel()
	for lines.Scan() { // let it go on
	}
	if got := <-code; got != exitInterrupted || !strings.Contains(stderr.String(), "interrupted: ") ||
		!strings.Contains(stderr.String(), " rows are complete") {
		t.Errorf("got code %d and %q", got, stderr.String())
	}
	kept, err := os.ReadFile(filepath.Join(out, "rows.ndjson"))
	if err != nil || bytes.Count(kept, []byte("\n")) < 5 || !bytes.HasSuffix(kept, []byte("}\n")) {
		t.Errorf("finished rows are kept, whole: got %d lines, %v", bytes.Count(kept, []byte("\n")), err)
	}
}

func TestE2EArenaOnTheTestbed(t *testing.T) {
	if err := checkTestbed(t.Context()); err != nil {
		t.Skip(err)
	}
	short := strings.NewReplacer(`"20s"`, `"6s"`, `warmup = "2s"`, `warmup = "1s"`).Replace(arenaScenario)
	path := filepath.Join(t.TempDir(), "short.toml")
	if err := os.WriteFile(path, []byte(short), 0o644); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"arena", path, "--world", "testbed", "--policy", "least_conn/random",
		"--seeds", "1", "--json", "--out", out}, &stdout, &stderr); code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr.String())
	}
	conforms(t, "trimtab arena", stdout.String())
	var row arena.Row
	if err := json.Unmarshal(stdout.Bytes(), &row); err != nil {
		t.Fatal(err)
	}
	if row.World != "testbed" || row.Requests < 300 || row.Intervals != 3 || row.Reloads < 1 ||
		row.LatencyMS.Mean < 15 || len(row.Groups) != 1 {
		t.Errorf("the row of a run on real NGINX: got %+v", row)
	}
	if left := processesOf(t, out); len(left) > 0 {
		t.Errorf("nothing is left running: got %v", left)
	}
}

func TestArenaServesThePythonClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		defer writer.Close()
		code <- run(ctx, []string{"arena", "serve", "--listen", "127.0.0.1:0"}, writer, &stderr)
	}()
	lines := bufio.NewScanner(reader)
	if !lines.Scan() {
		t.Fatalf("no address: %d %s", <-code, stderr.String())
	}
	out, err := exec.CommandContext(t.Context(), python, "../../docs/examples/arena_client.py", lines.Text(),
		"capacity-1-2-4", "5").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "unseen") {
		t.Errorf("client: %v: %s", err, out)
	}
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("got code %d: %s", got, stderr.String())
	}
}
