package cluster

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// text is a small model as it is written.
func modelText(t testing.TB) string {
	t.Helper()
	m, _ := twoRegimes(t, Diag)
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Writing a model twice gives the same bytes, one row of numbers per line, as does writing what was read.
func TestModelIsStable(t *testing.T) {
	text := modelText(t)
	m, err := ReadModel(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != text {
		t.Error("a model that was read and written differs from what was read")
	}
	for _, want := range []string{"{\n \"format\": \"trimtab regime model\",\n \"version\": 1,",
		"\"label\": \"compose HIGH (10 % errors) · home LOW\"", "\n   \"mean\": ["} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q", want)
		}
	}
	if lines := strings.Count(text, "\n"); lines > 120 {
		t.Errorf("%d lines for a model of two regimes: rows of numbers are not on one line each", lines)
	}
}

func TestReadModelRefuses(t *testing.T) {
	text := modelText(t)
	for _, c := range []struct{ what, old, new, want string }{
		{"another format", "trimtab regime model", "recipe", `format is "recipe"`},
		{"a newer version", `"version": 1`, `"version": 2`, "version 2, this program reads version 1"},
		{"a file cut in the middle", text[len(text)/2:], "", "unexpected EOF"},
		{"an empty file", text, "", "EOF"},
		{"text behind the model", text, text + "{}", "something follows the model"},
		{"an unknown key", `"version"`, `"versoin"`, "unknown field"},
		{"a group renamed in the schema only", `"set": "load"`, `"set": "odd"`, `feature set "odd"`},
		{"a component without covariance", `"covariance": [`, `"covariance": [[1]], "mean": [`, "mean"},
		{"a weight that is too large", `"weight": 0.`, `"weight": 7.`, "weights: sum to"},
		{"a deviation of zero", `"deviation": [`, `"deviation": [0, `, "deviations"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Fatalf("%s: nothing to change", c.what)
		}
		if _, err := ReadModel(strings.NewReader(changed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want …%s…", c.what, err, c.want)
		}
	}
}

func FuzzReadModel(f *testing.F) {
	text := modelText(f)
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add(`{"format":"trimtab regime model","version":1,"schema":{"set":"columns","columns":["a"]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ReadModel(strings.NewReader(text))
		if err != nil {
			return
		}
		a := m.Assign(m.NewWorkspace(), make([]float64, m.Mixture.D))
		if math.IsNaN(a.Probability) || a.Regime < 0 || a.Regime >= m.Mixture.K {
			t.Errorf("assignment %+v", a)
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadModel(&b); err != nil {
			t.Errorf("a model that was read cannot be read again: %v", err)
		}
	})
}
