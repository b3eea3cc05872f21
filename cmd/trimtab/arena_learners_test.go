package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inArena runs a command and returns what it printed.
func inArena(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"arena"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestLearnersAreTrainedAndPlayed(t *testing.T) {
	dir, scenario := t.TempDir(), tinyScenario(t)
	models, out := filepath.Join(dir, "models"), filepath.Join(dir, "out")
	train := []string{"train", scenario, "--policy", "dqn,table,student", "--seeds", "2", "--episodes", "60", "--every",
		"30", "--plays", "1", "--actions", "either",
		"--models", models, "--out", out, "--oracle-cache", dir, "--json"}
	code, stdout, stderr := inArena(t, train...)
	if code != exitOK {
		t.Fatalf("train: got code %d: %s", code, stderr)
	}
	conforms(t, "trimtab arena train", stdout)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var last struct {
		Learner     string  `json:"learner"`
		StepsPerSec float64 `json:"steps_per_s"`
		Points      []struct {
			Score float64 `json:"score"`
		} `json:"points"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 6 ||
		last.Learner != "student" || len(last.Points) == 0 || !(last.StepsPerSec > 0) {
		t.Errorf("lines of training: got %d, the last %+v, %v, want two learners of each kind with their curves",
			len(lines), last, err)
	}
	for _, name := range []string{"dqn-tiny", "table-tiny", "student-tiny"} {
		if png, err := os.ReadFile(filepath.Join(out, name+".png")); err != nil ||
			!bytes.HasPrefix(png, []byte("\x89PNG")) {
			t.Errorf("learning curve of %s: %v", name, err)
		}
	}
	code, stdout, stderr = inArena(t, scenario, "--policy", "equal,dqn,table,student,knapsack,rollout,rollout-dqn,"+
		"rollout-start,prequal,jsed",
		"--seeds", "1", "--models", models)
	if code != exitOK || !strings.Contains(stdout, "student") || !strings.Contains(stdout, "jsed") {
		t.Errorf("play: got code %d, %s\n%s", code, stdout, stderr)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a policy that is not trained", []string{"train", scenario, "--policy", "l3"}, exitUsage, "learns nothing"},
		{"gamma of 1", []string{"train", scenario, "--gamma", "1"}, exitUsage, "--gamma 1"},
		{"no episodes", []string{"train", scenario, "--episodes", "0"}, exitUsage, "want at least 1"},
		{"levels that are no numbers", []string{"train", scenario, "--actions", "levels", "--levels", "1,x"}, exitUsage,
			`"x" is no whole number`},
		{"a level that is no weight", []string{"train", scenario, "--actions", "levels", "--levels", "1,500",
			"--models", t.TempDir()}, 1, "500"},
		{"an unknown method", []string{"train", scenario, "--method", "maglev"}, exitUsage, "maglev"},
		{"a checkpoint of other settings", append(train, "--plays", "2"), 1, "delete it to begin anew"},
		{"a model that is not there", []string{scenario, "--policy", "td3", "--seeds", "1", "--models", models}, 1,
			"has not been trained on tiny"},
		{"methods that no NGINX has, on the testbed", []string{scenario, "--world", "testbed", "--policy", "jsed"},
			exitUsage, "play jsed in the simulator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if code, _, stderr := inArena(t, c.args...); code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("got code %d, %s, want %d with %q", code, stderr, c.code, c.want)
			}
		})
	}
}

func TestLeaderboardsGoOn(t *testing.T) {
	dir, scenario := t.TempDir(), tinyScenario(t)
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("# Page\n<!-- leaderboard:begin -->\n<!-- leaderboard:end -->\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"leaderboard", scenario, "--policy", "jsed,tuned,l3,random", "--out", filepath.Join(dir, "out"),
		"--markdown", page}
	if code, _, stderr := inArena(t, append(args, "--seeds", "2")...); code != exitOK {
		t.Fatalf("two seeds: got code %d: %s", code, stderr)
	}
	code, stdout, stderr := inArena(t, append(args, "--seeds", "3")...)
	if code != exitOK || !strings.Contains(stdout, "p (Holm)") {
		t.Fatalf("three seeds: got code %d: %s%s", code, stdout, stderr)
	}
	cells, err := os.ReadFile(filepath.Join(dir, "out", "cells.ndjson"))
	if err != nil || bytes.Count(cells, []byte("\n")) != 12 {
		t.Errorf("cells: got %d, %v, want 12, eight of them from the run before", bytes.Count(cells, []byte("\n")), err)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "8 cells were there") ||
		!strings.Contains(string(text), "| jsed | 1.000 |") {
		t.Errorf("page: %v, got %s", err, text)
	}
	if code, _, stderr := inArena(t, append(args, "--seeds", "2", "--reference", "dqn")...); code != exitUsage ||
		!strings.Contains(stderr, "the floor or the reference") {
		t.Errorf("a reference that is not played: got code %d, %s", code, stderr)
	}
}

func TestOtherWorldsAreCompared(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short.toml")
	if err := os.WriteFile(short, []byte(`name = "short"
duration = "30s"
control_interval = "15s"
objective = { mean = "400ms" }
load = { rate = 5 }
[[service]]
name = "one"
service = "50ms"
visits = 1
capacity = { max = 3 }
`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"edge and cloud", []string{"edge", "--seeds", "1", "--policy", "random,region-aware,believer"}, exitOK,
			"believer"},
		{"edge and cloud without a network", []string{"edge", "--seeds", "1", "--policy", "region-aware", "--network",
			"off"}, exitOK, "region-aware"},
		{"edge: a policy that nobody knows", []string{"edge", "--seeds", "1", "--policy", "chance"}, exitUsage,
			`policy "chance"`},
		{"edge: a network that is neither", []string{"edge", "--network", "slow"}, exitConfig, "want on or off"},
		{"edge: a world that is not there", []string{"edge", "none.toml"}, exitConfig, "read world"},
		{"edge, emulated", []string{"edge", "--seeds", "1", "--policy", "region-aware", "--world", "emulated", "--load",
			"0.2", "--scale", "0.005"}, exitOK, "region-aware"},
		{"edge: no seeds", []string{"edge", "--seeds", "0"}, exitUsage, "want at least 1"},
		{"autoscaled microservices", []string{"autoscale", "--seeds", "1", "--policy", "threshold,planner"}, exitOK,
			"planner"},
		{"autoscaled microservices, emulated", []string{"autoscale", short, "--seeds", "1", "--policy", "threshold",
			"--world", "emulated", "--scale", "0.05", "--json"}, exitOK, `"came":`},
		{"autoscale: a world that is not there", []string{"autoscale", "none.toml"}, exitConfig, "read world"},
		{"autoscale: a scale that is none", []string{"autoscale", "--scale", "0"}, exitUsage, "--scale 0"},
		{"autoscale: a policy that nobody knows", []string{"autoscale", "--seeds", "1", "--policy", "chance"},
			exitUsage, `policy "chance"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := inArena(t, c.args...)
			if code != c.code || !strings.Contains(stdout+stderr, c.want) {
				t.Errorf("got code %d, %s%s, want %d with %q", code, stdout, stderr, c.code, c.want)
			}
		})
	}
}
