package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFailIf(t *testing.T) {
	values := map[string]float64{"p99": 250, "errors": 0.002, "rate": 480, "p99.change": 0.06}
	for _, c := range []struct {
		name, text string
		crossed    bool
	}{
		{"a time that is longer", "p99>200ms", true},
		{"a time that is not", "p99>300ms", false},
		{"in seconds", "p99>0.2s", true},
		{"in microseconds", "p99<=250000us", true},
		{"a share in percent", "errors>0.1%", true},
		{"a share that is smaller", "errors>0.3%", false},
		{"a bare number", "errors>0.001", true},
		{"a rate", "rate<500/s", true},
		{"blanks", " p99 > 200 ms ", true},
		{"a change", "p99.change>5%", true},
		{"a change with its sign", "p99.change>+10%", false},
		{"what was not measured crosses any limit", "p50>1ms", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := parseLimits([]string{c.text})
			if err != nil {
				t.Fatal(err)
			}
			err = l.check(values)
			if (err != nil) != c.crossed {
				t.Fatalf("got %v, want crossed %t", err, c.crossed)
			}
			if err != nil && exitCode(err) != exitLimit {
				t.Errorf("exit code %d, want %d", exitCode(err), exitLimit)
			}
		})
	}
	for _, bad := range []string{"", "p99", "p99>", ">5", "p99=5", "p99>x", "p99>5 hours", "p99>1e5ms",
		"p99>200ms and more"} {
		if l, err := parseLimits([]string{bad}); err == nil {
			t.Errorf("%q: got %v, want an error", bad, l)
		}
	}
}

func FuzzFailIf(f *testing.F) {
	f.Add("p99>200ms")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLimits([]string{text})
		if err == nil {
			_ = l.check(map[string]float64{"p99": 1})
		}
	})
}

// loadReport sends a short load and returns its report.
func loadReport(t *testing.T, url, name string, more ...string) (path string, code int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	args := append([]string{"load", "--target", url, "--duration", "1500ms", "--seed", "5", "--report", path}, more...)
	code, _, _ = command(t.Context(), args...)
	return path, code
}

func TestReportsNameWhatTheyAreOfAndCompare(t *testing.T) {
	url, _ := loadTestServer(t)
	a, code := loadReport(t, url+"/a", "a.json", "--rate", "80", "--fail-if", "p99>60s")
	if code != exitOK {
		t.Fatalf("a limit that is not crossed: code %d", code)
	}
	b, code := loadReport(t, url+"/b", "b.json", "--ramp", "0s=10,1s=90", "--fail-if", "rate>1/s", "--header",
		"X-Secret: s3cret")
	if code != exitLimit {
		t.Fatalf("a limit that is crossed: code %d, want %d", code, exitLimit)
	}
	text, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Version string `json:"trimtab_version"`
		Host    string `json:"host"`
		Target  string `json:"target"`
		Command string `json:"command"`
		Series  struct {
			AtS []float64 `json:"at_s"`
		} `json:"over_time"`
		Workloads []struct {
			Bursts []struct {
				Law   string `json:"rate_law"`
				Curve []any  `json:"rate_curve"`
			} `json:"bursts"`
		} `json:"workloads"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	burst := r.Workloads[0].Bursts[0]
	if r.Version != version || r.Target != url+"/b" || r.Host == "" || !strings.HasPrefix(r.Command,
		"trimtab load ") || len(r.Series.AtS) == 0 || burst.Law != "ramp" ||
		len(burst.Curve) < 10 {
		t.Errorf("got %+v", r)
	}
	if strings.Contains(string(text), "s3cret") {
		t.Error("the report holds what a header said")
	}
	page := filepath.Join(t.TempDir(), "compare.html")
	code, stdout, stderr := command(t.Context(), "compare", a, b, "--json")
	if code != exitOK {
		t.Fatalf("got exit code %d: %s", code, stderr)
	}
	conforms(t, "trimtab compare", stdout)
	code, stdout, stderr = command(t.Context(), "compare", a, b, "--html", page)
	if code != exitOK || !strings.Contains(stdout, "Target differs") || !strings.Contains(stdout, "p99") {
		t.Errorf("compare: code %d, %s%s", code, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		if strings.Contains(line, "differs") || strings.Contains(line, "→") {
			continue // wrapped on a terminal
		}
		if len([]rune(line)) > 81 {
			t.Errorf("a line of %d columns: %s", len([]rune(line)), line)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "What else differs") {
		t.Errorf("the page: %v", err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"a limit on the change", []string{"compare", a, b, "--fail-if", "rate.change<1000%"}, exitLimit},
		{"no such file", []string{"compare", a, "none"}, exitConfig},
		{"not a report", []string{"compare", a, os.Args[0]}, exitConfig},
		{"one report", []string{"compare", a}, exitUsage},
		{"a limit that is none", []string{"load", "--target", url, "--rate", "1", "--duration", "1s", "--fail-if",
			"p98>1"}, exitUsage},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := command(t.Context(), c.args...); code != c.code {
				t.Errorf("code %d, want %d: %s", code, c.code, stderr)
			}
		})
	}
	if _, err := readOutcome(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
