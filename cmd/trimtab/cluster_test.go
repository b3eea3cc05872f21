package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runCapture runs the program and returns its exit code and what it printed.
func runCapture(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// csvOfThree writes rows around three well-separated points in two columns.
func csvOfThree(t *testing.T) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 2))
	var b strings.Builder
	b.WriteString("f0,f1\n")
	for i := range 600 {
		fmt.Fprintf(&b, "%g,%g\n", float64(i%3)*10+rng.NormFloat64(), float64(i%3%2)*10+rng.NormFloat64())
	}
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A plain fit of a CSV file: the last line holds what the design promises; the files asked for are written; the model
// gives the same assignments when it is used again, and starts a fit that converges at once.
func TestClusterCSV(t *testing.T) {
	x, dir := csvOfThree(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	code, out, errs := runCapture("cluster", "--csv", x, "--k", "auto", "--json", "--out", file("m.json"),
		"--assignments", file("a.csv"), "--plot", file("p.svg"))
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	conforms(t, "trimtab cluster", out)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last struct {
		K, N, D, Iterations    int
		LogLikelihoodPerSample float64 `json:"log_likelihood_per_sample"`
		BIC, Seconds           float64
		Regimes                []struct {
			Label string
			Share float64
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	// Three components of unit variance in the plane: −log 3 − log 2π − 1 per row.
	if last.K != 3 || last.N != 600 || last.D != 2 || last.LogLikelihoodPerSample < -4.1 ||
		last.LogLikelihoodPerSample > -3.7 || len(last.Regimes) != 3 {
		t.Errorf("got %s", lines[len(lines)-1])
	}
	for _, r := range last.Regimes {
		if r.Label == "" || r.Share < 0.3 || r.Share > 0.37 {
			t.Errorf("regime %+v, want a third", r)
		}
	}
	if len(lines) < 4 || !strings.HasPrefix(lines[0], `{"schema_version":2,"k":1,`) {
		t.Errorf("curve: got %q first of %d lines", lines[0], len(lines))
	}
	first, err := os.ReadFile(file("a.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runCapture("cluster", "--csv", x, "--model", file("m.json"), "--assignments",
		file("b.csv")); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if second, _ := os.ReadFile(file("b.csv")); !bytes.Equal(first, second) || bytes.Count(first, []byte{'\n'}) != 601 {
		t.Error("the model assigns otherwise than the fit that made it")
	}
	code, out, errs = runCapture("cluster", "--csv", x, "--k", "3", "--start", file("m.json"), "--json")
	if code != exitOK || !strings.Contains(out, `"converged":true`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ = runCapture("cluster", "--csv", x, "--k", "3", "--stream"); code != exitOK ||
		!strings.Contains(out, "600 rows, 2 features, 3 regimes") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestClusterRefuses(t *testing.T) {
	x, dir := csvOfThree(t), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model := filepath.Join(dir, "m.json")
	if code, _, errs := runCapture("cluster", "--csv", x, "--k", "2", "--out", model); code != exitOK {
		t.Fatal(errs)
	}
	line := `{"compose_backend":{"a":{"requestCounter":%d,"inBytes":1,"outBytes":1,"Non 2xx/3xx responses":0,"requestMsecCounter":1,"weight":1,"maxFails":1,"failTimeout":10,"backup":0,"down":0}}}` + "\n"
	short := write("short.json", fmt.Sprintf(line+line+line, 1, 2, 3))
	for _, c := range []struct {
		what string
		args []string
		code int
		want string
	}{
		{"nothing to read", nil, exitUsage, "no statistics: name files, or a file of numbers with --csv"},
		{"both kinds", []string{"--csv", x, "s.ndjson"}, exitUsage, "both --csv and s.ndjson"},
		{"k of nothing", []string{"--csv", x, "--k", "0"}, exitUsage, `--k "0": want a number from 1`},
		{"unknown covariance", []string{"--csv", x, "--covariance", "round"}, exitUsage, `covariance "round"`},
		{"several faults => all of them", []string{"--csv", x, "--k", "x", "--floor", "-1"}, exitUsage,
			"--floor -1: want more than 0"},
		{"a model and a fit", []string{"--csv", x, "--model", model, "--k", "3"}, exitUsage,
			"--k fits a model, --model uses one"},
		{"a file that is not there", []string{filepath.Join(dir, "none")}, exitConfig, "no such file"},
		{"an empty file", []string{write("empty", "")}, exitConfig, "no interval of 3s in it"},
		{"statistics cut in the middle => file, line, what to do",
			[]string{write("cut.json", fmt.Sprintf(line, 1)+line[:40])}, exitConfig, "cut.json:2: "},
		{"too little for the regimes asked for", []string{short, "--window", "0"}, exitConfig,
			"2 intervals of 0s, 1 regimes need at least 5"},
		{"a CSV file cut in the middle => file and line", []string{"--csv", write("cut.csv", "a,b\n1,2\n3")},
			exitConfig, "cut.csv:3: 1 columns, want 2"},
		{"NaN => file, line and column", []string{"--csv", write("nan.csv", "a,b\n1,2\nNaN,2\n")}, exitConfig,
			"nan.csv:3: column 1 (a)"},
		{"one row", []string{"--csv", write("one.csv", "a,b\n1,2\n"), "--k", "1"}, exitConfig,
			"one.csv: 1 row: a mixture needs at least 2"},
		{"more components than rows", []string{"--csv", write("few.csv", "a,b\n1,2\n3,4\n"), "--k", "3"}, exitConfig,
			"2 rows for 3 components"},
		{"a model of other columns", []string{"--csv", write("other.csv", "a,b\n1,2\n3,4\n"), "--model", model},
			exitConfig, "columns f0,f1, not a,b"},
		{"a model of columns for statistics", []string{short, "--window", "0", "--model", model}, exitConfig,
			"use it with --csv"},
		{"a picture of a format unknown", []string{"--csv", x, "--k", "2", "--plot", filepath.Join(dir, "p.gif")},
			exitConfig, "want png or svg"},
	} {
		code, _, errs := runCapture(append([]string{"cluster"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: got exit %d and %q, want exit %d and one line with %q", c.what, code, errs, c.code, c.want)
		}
	}
}

// The recorded statistics of the older format are read; nearly all of them are idle.
func TestClusterSeedStatistics(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "seed", "example.json")
	if _, err := os.Stat(path); err != nil {
		t.Skip("recorded statistics are not here: ", err)
	}
	for _, set := range []string{"load", "seed"} {
		code, out, errs := runCapture("cluster", path, "--window", "0", "--k", "auto", "--features", set, "--json")
		if code != exitOK {
			t.Fatalf("%s: exit %d: %s", set, code, errs)
		}
		if strings.Contains(out, "NaN") || !strings.Contains(out, `"n":135,`) {
			t.Errorf("%s: got %s", set, out)
		}
	}
}
