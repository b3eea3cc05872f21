package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A tuner that never finds a gain large enough answers emergencies only. These two scenarios are those that show it in
// every seed: servers that are good at different things.
func TestArenaAblateSeesACrippledParameter(t *testing.T) {
	dir := t.TempDir()
	doc, rows := filepath.Join(dir, "ablation.md"), filepath.Join(dir, "rows.ndjson")
	if err := os.WriteFile(doc, []byte("<!-- ablation:begin --><!-- ablation:end -->"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := shell(t, "arena", "ablate", "class-speeds", "mixed-hardware", "--policy", "tuned",
		"--only", "QuietSec", "--set", "MinGain=1000", "--json", "--rows", rows, "--markdown", doc)
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr)
	}
	conforms(t, "trimtab arena ablate", stdout)
	changes := map[string]changeJSON{}
	for line := range strings.Lines(stdout) {
		var v changeJSON
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Kind != "change" {
			t.Errorf("got %s, %v", line, err)
		}
		changes[v.Param+" "+v.To] = v
	}
	crippled, idle := changes["MinGain 1000"], changes["QuietSec off"]
	if !(crippled.P99.Low > 1) || !(crippled.P99.Ratio > 1.2) || !(crippled.Reloads.Ratio < 1) ||
		crippled.P99.Worlds != 2 || crippled.Dispensable {
		t.Errorf("crippled: got %+v, want a p99 that is higher beyond chance and fewer reloads: only emergencies "+
			"are answered", crippled)
	}
	if len(changes) != 4 {
		t.Errorf("got %d changes, want half, twice and off of one, and a value of another", len(changes))
	}
	if !(idle.P99.Ratio > 0.5 && idle.P99.Ratio < 2) || idle.Default != 120 || idle.Unit != "s" {
		t.Errorf("got %+v, want a parameter of little effect with its default and unit", idle)
	}
	if kept, err := readRows(rows); err != nil || len(kept) != 10 {
		t.Errorf("got %d rows, %v, want the tuner as it is and with 4 changes in 2 worlds", len(kept), err)
	}
	text, _ := os.ReadFile(doc)
	for _, want := range []string{
		"--only QuietSec --policy tuned --set MinGain=1000", "10 cells",
		"| QuietSec | ½: 60 |", "| MinGain | 1000 |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the document says %q: got %s", want, text)
		}
	}
}

func TestArenaAblatePlaysNamedScenarios(t *testing.T) {
	code, stdout, stderr := shell(t, "arena", "ablate", tinyScenario(t), "--policy", "least_conn/tuned-eject",
		"--set", "DeadBand=0.1")
	text := strings.Join(strings.Fields(stdout), " ")
	if code != exitOK || !strings.Contains(text, "DeadBand 0.1") ||
		!strings.Contains(text, "p99, least_conn/tuned-eject") {
		t.Errorf("got code %d: %s%s", code, stdout, stderr)
	}
}

func TestArenaAblateRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no worlds", []string{"--worlds", "0"}, exitUsage, "--worlds 0"},
		{"no such parameter", []string{"--only", "Luck"}, exitUsage, `"Luck"`},
		{"a value without a number", []string{"--set", "MinGain"}, exitUsage, "want NAME=VALUE"},
		{"a value that cannot be", []string{"--set", "StressShare=2"}, exitUsage, "want 0 to 1"},
		{"a policy without parameters", []string{"--policy", "l3"}, exitUsage, `unknown chooser "l3"`},
		{"a file that is not there", []string{"nowhere.toml"}, exitConfig, "nowhere.toml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := shell(t, append([]string{"arena", "ablate"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("got code %d and %q, want %d and %q in one line", code, stderr, c.code, c.says)
			}
		})
	}
}
