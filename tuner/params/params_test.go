package params

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/lab/parameters.md")

func TestEveryParameterSaysWhatItIsAndWhereItComesFrom(t *testing.T) {
	units := []string{"log", "sd", "s", "nat", "ratio", "probability", "deadlines", "changes", "requests",
		"services", "scv", "servers"}
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			if !slices.Contains(units, p.Unit) || p.About == "" || p.Part == "" {
				t.Errorf("got unit %q, about %q, part %q", p.Unit, p.About, p.Part)
			}
			origin, how, ok := strings.Cut(p.From, ": ")
			if !ok || how == "" || !slices.Contains([]string{"convention", "estimate", "chosen"}, origin) {
				t.Errorf("got from %q, want convention, estimate or chosen, and how", p.From)
			}
			if strings.ContainsAny(p.About+p.From, "|\n") {
				t.Errorf("%q, %q: not for a table", p.About, p.From)
			}
			if !(p.Default > 0) || math.IsInf(p.Default, 1) || p.Default < p.least || p.Default > p.most {
				t.Errorf("got default %g, want a positive number from %g to %g", p.Default, p.least, p.most)
			}
			if p.HasOff && (p.Off == p.Default || p.Off < p.least || p.Off > p.most) {
				t.Errorf("got off %g, want another value than %g, from %g to %g", p.Off, p.Default, p.least, p.most)
			}
			if p.Halved() >= p.Default && p.Doubled() <= p.Default {
				t.Errorf("from %g to %g there is nothing to try but the default", p.least, p.most)
			}
		})
	}
}

func TestWithSetsOneParameter(t *testing.T) {
	for _, c := range []struct {
		name, param string
		value       float64
		fault       string
	}{
		{"half", "MinGain", 0.015, ""},
		{"the largest that it may be", "StressShare", 1, ""},
		{"beyond the largest", "StressShare", 1.6, "want 0 to 1"},
		{"below the least", "Headroom", 0.5, "want 1 to"},
		{"no number", "MinGain", math.NaN(), "want 0 to"},
		{"no such parameter", "Luck", 1, `"Luck"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Default().With(c.param, c.value)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) || got != Default() {
					t.Errorf("got %v, want the defaults and %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range All() {
				want := d.Default
				if d.Name == c.param {
					want = c.value
				}
				if d.Of(got) != want {
					t.Errorf("%s: got %g, want %g", d.Name, d.Of(got), want)
				}
			}
		})
	}
}

// A parameter that nothing reads would be halved and doubled without an effect.
func TestEveryParameterIsRead(t *testing.T) {
	var source []byte
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "params") {
			return err
		}
		text, err := os.ReadFile(path)
		source = append(source, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range All() {
		if !bytes.Contains(source, []byte("."+p.Name)) {
			t.Errorf("nothing reads %s", p.Name)
		}
	}
}

func TestDocumentHoldsTheParameters(t *testing.T) {
	const path, begin, end = "../../docs/lab/parameters.md", "<!-- parameters:begin -->\n", "<!-- parameters:end -->\n"
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s: the marks are missing", path)
	}
	want := before + begin + "\n" + markdown() + "\n" + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(old) != want {
		t.Errorf("%s is not what the tags say: run go test ./tuner/params -update", path)
	}
}

// configuration is the part of what is not tuned: the configuration has a key for each.
const configuration = "configuration"

// markdown is a table of all parameters for each part.
func markdown() string {
	var b strings.Builder
	part := ""
	for _, p := range All() {
		if p.Part != part {
			if part = p.Part; b.Len() > 0 {
				b.WriteString("\n")
			}
			heading := "`tuner/" + part + "`"
			if part == configuration {
				heading = "Defaults of keys that are the operator's"
			}
			fmt.Fprintf(&b, "## %s\n\n", heading)
			b.WriteString("| parameter | value | unit | off | what it is | where it comes from |\n|---|---:|---|---:|---|---|\n")
		}
		off := "–"
		if p.HasOff {
			off = fmt.Sprintf("%g", p.Off)
		}
		fmt.Fprintf(&b, "| %s | %g | %s | %s | %s | %s |\n", p.Name, p.Default, p.Unit, off, p.About, p.From)
	}
	return b.String()
}
