package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTheManPageHasEveryKeyWithItsDefault(t *testing.T) {
	b := build{root: "..", version: "v1.2.3"}
	path := filepath.Join(t.TempDir(), "trimtab.toml.5")
	if err := b.man5(path); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../scripts/trimtab.toml")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`(?m)^([a-z_]+) = ("[^"]*"|[^#\s]+)`)
	keys := key.FindAllStringSubmatch(string(example), -1)
	if len(keys) < 20 {
		t.Fatalf("found %d keys in the example", len(keys))
	}
	for _, m := range keys {
		if !strings.Contains(string(page), "\n.B "+roff(m[1]+" = "+m[2])) {
			t.Errorf("%s is not in the page with its default %s", m[1], m[2])
		}
	}
	for _, want := range []string{".TH TRIMTAB.TOML 5 ", ".SH [status]", ".SH ENVIRONMENT", "TRIMTAB_STATUS_URL"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestRoffMeansItself(t *testing.T) {
	for text, want := range map[string]string{"a-b": `a\-b`, `c:\d`: `c:\ed`, ".TH": `\&.TH`, "'x": `\&'x`} {
		if got := roff(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
