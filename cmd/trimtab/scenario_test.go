package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/socialnet"
)

// shell runs the program as the shell does.
func shell(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestScenarioShowCheckAndList(t *testing.T) {
	dir := t.TempDir()
	for _, name := range deathstarbench.Names() {
		code, text, stderr := shell(t, "scenario", "show", name)
		if code != exitOK {
			t.Fatalf("show %s: exit code %d: %s", name, code, stderr)
		}
		path := filepath.Join(dir, name+".toml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, stdout, stderr := shell(t, "scenario", "check", path, name); code != exitOK ||
			strings.Count(stdout, ": ok: ") != 2 {
			t.Errorf("check %s: exit code %d, %q, %q: want what show printed to be as good as the original", name, code,
				stdout, stderr)
		}
	}
	code, stdout, _ := shell(t, "scenario", "list", "--json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != exitOK || len(lines) != len(deathstarbench.Names()) {
		t.Fatalf("list: exit code %d, %d lines, want %d", code, len(lines), len(deathstarbench.Names()))
	}
	conforms(t, "trimtab scenario list", stdout)
	for i, line := range lines {
		var s scenarioSummary
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Name != deathstarbench.Names()[i] ||
			s.PeakPerS <= 0 || s.Best > s.Equal+1e-9 || len(s.Description) < 20 {
			t.Errorf("list: got %s, %v", line, err)
		}
	}
	if code, stdout, _ := shell(t, "scenario", "list"); code != exitOK || strings.Count(stdout, "\n") != 1+len(lines) {
		t.Errorf("list for people: exit code %d\n%s", code, stdout)
	}
}

func TestScenarioCheckRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.toml")
	_, good, _ := shell(t, "scenario", "show", "identical")
	bad := strings.NewReplacer("warmup", "warm_up", "slots = 4", "slots = 0").Replace(good)
	if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := shell(t, "scenario", "check", path, "identical")
	if code != exitConfig || !strings.Contains(stdout, "identical: ok") {
		t.Errorf("got exit code %d, %q, want %d and the good one named", code, stdout, exitConfig)
	}
	// One unknown key, three servers without slots, and the summary.
	if got := strings.Count(stderr, "\n"); got != 5 || !strings.Contains(stderr, path+":6: warm_up: unknown key") &&
		!strings.Contains(stderr, ": warm_up: unknown key") {
		t.Errorf("got %d lines, want 5:\n%s", got, stderr)
	}
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"scenario", "check"}, exitUsage},
		{[]string{"scenario", "check", "no-such"}, exitConfig},
		{[]string{"scenario", "show", "no-such"}, exitConfig},
		{[]string{"scenario", "show"}, exitUsage},
		{[]string{"scenario", "list", "x"}, exitUsage},
	} {
		if code, _, _ := shell(t, c.args...); code != c.want {
			t.Errorf("%v: got exit code %d, want %d", c.args, code, c.want)
		}
	}
}

func TestGraphInit(t *testing.T) {
	s, err := deathstarbench.Load("identical")
	if err != nil {
		t.Fatal(err)
	}
	network := socialnet.NewNetwork(socialnet.NewMemory())
	backends, err := socialnet.StartAll(t.Context(), s, network, socialnet.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer backends.Stop()
	url := "http://" + backends.Addr("a")
	edges := filepath.Join(t.TempDir(), "tiny.edges")
	if err := os.WriteFile(edges, []byte("3\n0 1\n1 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := shell(t, "graph", "init", "--target", url, "--graph", edges, "--compose", "--posts", "2",
		"--json")
	var report struct{ Users, Existing, Follows, Posts, Seed int }
	if err := json.Unmarshal([]byte(stdout), &report); code != exitOK || err != nil || report.Users != 3 ||
		report.Follows != 4 || report.Seed != 1 {
		t.Fatalf("got exit code %d, %s, %v, %s", code, stdout, err, stderr)
	}
	conforms(t, "trimtab graph init", stdout)
	if !strings.Contains(stderr, "register: 3 of 3\nfollow: 4 of 4\n") {
		t.Errorf("progress without a terminal: got %q", stderr)
	}
	if code, stdout, _ := shell(t, "graph", "init", "--target", url, "--users", "30"); code != exitOK ||
		!strings.HasPrefix(stdout, "27 users registered, 3 existed, ") {
		t.Errorf("again with more users: got exit code %d, %q", code, stdout)
	}
	if err := os.WriteFile(edges, []byte("0 1\n1 x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--target", url, "--graph", edges}, exitConfig, edges + `:2: "x": want a whole number`},
		{[]string{"--target", url, "--graph", edges + "-missing"}, exitConfig, "no such file"},
		{[]string{"--target", url, "--users", "1"}, exitUsage, "1 nodes: want 2 to"},
		{[]string{"--target", url, "--concurrency", "0"}, exitUsage, "--concurrency"},
		{[]string{}, exitUsage, "--target is missing"},
		{[]string{"--target", "http://127.0.0.1:1", "--attempts", "1", "--users", "3"}, exitFailure,
			"connection refused"},
	} {
		code, _, stderr := shell(t, append([]string{"graph", "init"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Count(stderr, "trimtab:") != 1 {
			t.Errorf("%v: got exit code %d, %q, want %d and %q", c.args, code, stderr, c.code, c.want)
		}
	}
}

func TestGraphGenerateIsReadBackByGraphInit(t *testing.T) {
	code, stdout, _ := shell(t, "graph", "generate", "--users", "50", "--seed", "7")
	if code != exitOK {
		t.Fatalf("got exit code %d", code)
	}
	g, err := deathstarbench.ReadGraph(strings.NewReader(stdout), "generated")
	if err != nil || g.Nodes != 50 || len(g.Edges) < 100 {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestScenarioRandomPrintsWhatCheckAccepts(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a random world says its seed", []string{"--seed", "17"}, `name = "random-17"`},
		{"a recurring world too", []string{"--seed", "17", "--recurring"}, `name = "recurring-17"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, text, stderr := shell(t, append([]string{"scenario", "random"}, c.args...)...)
			if code != exitOK || !strings.HasPrefix(text, "# ") || !strings.Contains(text, c.want) {
				t.Fatalf("got code %d, %.200q, %s, want %s", code, text, stderr, c.want)
			}
			path := filepath.Join(t.TempDir(), "w.toml")
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			if code, _, stderr := shell(t, "scenario", "check", path); code != exitOK {
				t.Errorf("check: got code %d: %s", code, stderr)
			}
			if _, again, _ := shell(t, append([]string{"scenario", "random"}, c.args...)...); again != text {
				t.Error("the second time another scenario")
			}
		})
	}
}
