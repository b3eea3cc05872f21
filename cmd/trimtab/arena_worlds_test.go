package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArenaWorldsComparesWithEveryBaseline(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "rows.ndjson")
	code, stdout, stderr := shell(t, "arena", "worlds", "--worlds", "2", "--first", "11", "--seeds", "2",
		"--policy", "least_time,l3", "--baseline", "least_conn/equal, start", "--json", "--rows", rows)
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr)
	}
	conforms(t, "trimtab arena worlds", stdout)
	kinds := map[string]int{}
	for line := range strings.Lines(stdout) {
		var v struct {
			Schema                        int `json:"schema_version"`
			Kind, Policy, Baseline, World string
			About                         string
			Ratio                         float64 `json:"p99_ratio"`
			Seeds                         int
		}
		err := json.Unmarshal([]byte(line), &v)
		if err != nil || v.Schema != schemaVersion || v.Policy == v.Baseline || v.Ratio <= 0 {
			t.Errorf("got %s, %v", line, err)
		}
		known := v.World == "random-11" || v.World == "random-12"
		if v.Kind == "world" && (v.Seeds != 2 || !strings.Contains(v.About, "level=") || !known) {
			t.Errorf("a world says its seed and what it is made of: got %s", line)
		}
		kinds[v.Kind]++
	}
	// Of the four policies that were played three are compared with each of the two baselines, in two worlds.
	if kinds["comparison"] != 6 || kinds["world"] != 12 {
		t.Errorf("got lines %v", kinds)
	}
	kept, err := readRows(rows)
	if err != nil || len(kept) != 16 {
		t.Errorf("got %d rows, %v, want 4 policies, 2 worlds and 2 seeds", len(kept), err)
	}
}

func TestArenaWorldsTakesFilesAndWritesMarkdown(t *testing.T) {
	dir := t.TempDir()
	file, doc := filepath.Join(dir, "tiny.toml"), filepath.Join(dir, "doc.md")
	for path, text := range map[string]string{
		file: "# two servers, one twice as large\n" + arenaScenario,
		doc:  "<!-- worlds:begin --><!-- worlds:end -->",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := shell(t, "arena", "worlds", file, "--policy", "start,least_time/capacity", "--seeds", "1",
		"--markdown", doc)
	if code != exitOK || !strings.Contains(stdout, "worst worlds of least_time/capacity against least_conn/equal") {
		t.Fatalf("got code %d: %s%s", code, stdout, stderr)
	}
	if text, _ := os.ReadFile(doc); !strings.Contains(string(text), "| tiny | two servers, one twice as large |") {
		t.Errorf("the document holds the tables: got %s", text)
	}
}

// The tuner is told a method that it knows, whatever requests are balanced by.
func TestArenaWorldsTunesUnderLeastTime(t *testing.T) {
	code, stdout, stderr := shell(t, "arena", "worlds", tinyScenario(t), "--policy", "least_time/tuned",
		"--baseline", "least_time", "--seeds", "1", "--json")
	if code != exitOK || !strings.Contains(stdout, `"policy":"least_time/tuned","baseline":"least_time"`) {
		t.Errorf("got code %d: %s%s", code, stdout, stderr)
	}
}

func TestArenaWorldsRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no worlds", []string{"--worlds", "0"}, exitUsage, "--worlds 0"},
		{"no seeds", []string{"--seeds", "0"}, exitUsage, "--seeds 0"},
		{"an unknown policy", []string{"--policy", "magic"}, exitUsage, `unknown chooser "magic"`},
		{"an unknown baseline", []string{"--baseline", "moon/equal"}, exitUsage, `unknown method "moon"`},
		{"an unknown actuator", []string{"--actuator", "hand"}, exitUsage, "want reload or live"},
		{"a file that is not there", []string{"nowhere.toml"}, exitConfig, "nowhere.toml"},
		{"rows that cannot be written", []string{"--rows", "/dev/null/x"}, exitConfig, "/dev/null/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := shell(t, append([]string{"arena", "worlds"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("got code %d and %q, want %d and %q in one line", code, stderr, c.code, c.says)
			}
		})
	}
}
