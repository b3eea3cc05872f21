package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckConfigPrintsWarnings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		warnings   []string
	}{
		{"nothing to warn of", "[tuner]\nheadroom = 1.2\n", nil},
		{"retired keys, with their lines", "[tuner]\nmin_requests = 50\nheadroom = 1.2\nexplore = 0.05\n", []string{
			":2: tuner.min_requests has no effect any more: remove it", ":4: tuner.explore has no effect any " +
				"more: remove it"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trimtab.toml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr := new(buffer), new(buffer)
			if code := run(t.Context(), []string{"tune", "--config", path, "--check-config"}, stdout,
				stderr); code != 0 || !strings.Contains(stdout.String(), "is valid") {
				t.Fatalf("code %d: %s%s, want a valid configuration", code, stdout, stderr)
			}
			var want strings.Builder
			for _, w := range c.warnings {
				want.WriteString("warning: " + path + w + "\n")
			}
			if got := stderr.String(); got != want.String() {
				t.Errorf("got %q, want %q", got, want.String())
			}
		})
	}
}
