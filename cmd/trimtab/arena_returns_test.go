package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/arena"
)

func TestArenaReturnsComparesTheTunerWithItself(t *testing.T) {
	if testing.Short() {
		t.Skip("two days of a simulated world")
	}
	dir := t.TempDir()
	doc, png := filepath.Join(dir, "doc.md"), filepath.Join(dir, "day.png")
	if err := os.WriteFile(doc, []byte("<!-- returns:begin --><!-- returns:end -->"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := shell(t, "arena", "returns", "--worlds", "1", "--first", "2", "--method", "least_time",
		"--json",
		"--markdown", doc, "--plot", png)
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr)
	}
	conforms(t, "trimtab arena returns", stdout)
	var c arena.RecurrenceRatio
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		t.Fatalf("got %s: %v", stdout, err)
	}
	if c.Policy != "least_time/tuned" || c.Baseline != "least_time/"+noRegimes || c.Worlds != 1 || c.Returns < 9 ||
		!(c.P99.Mean > 0) {
		t.Errorf("got %+v, want one world with its returns", c)
	}
	text, err := os.ReadFile(doc)
	if err != nil || !strings.Contains(string(text), "| least_time/tuned |") {
		t.Errorf("got %s, %v, want a row of the table", text, err)
	}
	if picture, err := os.ReadFile(png); err != nil || len(picture) > 300_000 || !strings.HasPrefix(string(picture),
		"\x89PNG") {
		t.Errorf("got a picture of %d bytes, %v", len(picture), err)
	}
	if code, _, _ := shell(t, "arena", "returns", "--worlds", "0"); code != exitUsage {
		t.Errorf("no worlds: got code %d, want %d", code, exitUsage)
	}
}
