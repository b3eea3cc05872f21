package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestArenaForecastsTellsEveryChange(t *testing.T) {
	code, stdout, stderr := shell(t, "arena", "forecasts", "--worlds", "1", "--first", "303", "--policy", "tuned",
		"--json")
	if code != exitOK {
		t.Fatalf("got code %d: %s", code, stderr)
	}
	conforms(t, "trimtab arena forecasts", stdout)
	lines, judged := 0, 0
	for line := range strings.Lines(stdout) {
		var v struct {
			Schema        int `json:"schema_version"`
			World, Policy string
			Unjudged      string
			P99           struct {
				Median   float64 `json:"median_ms"`
				Low      float64 `json:"low_ms"`
				High     float64 `json:"high_ms"`
				Measured float64 `json:"measured_ms"`
			}
		}
		err := json.Unmarshal([]byte(line), &v)
		if err != nil || v.Schema != schemaVersion || v.World != "random-303" || v.Policy != "tuned" ||
			v.P99.Low <= 0 || v.P99.Low > v.P99.Median ||
			v.P99.High < v.P99.Median {
			t.Errorf("got %s, %v", line, err)
		}
		lines++
		if v.Unjudged == "" && v.P99.Measured > 0 {
			judged++
		}
	}
	if lines == 0 || judged == 0 {
		t.Errorf("got %d changes, of which %d can be judged", lines, judged)
	}
	code, stdout, stderr = shell(t, "arena", "forecasts", "--worlds", "1", "--first", "303", "--policy", "tuned")
	if code != exitOK || !strings.Contains(stdout, "90 % covers") || !strings.Contains(stdout, "not judgeable: ") {
		t.Errorf("as a table: got code %d, %s%s", code, stdout, stderr)
	}
}

func TestArenaForecastsRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no world", []string{"--worlds", "0"}, exitUsage, "--worlds 0"},
		{"an unknown policy", []string{"--worlds", "1", "--policy", "x"}, exitUsage, "unknown chooser"},
		{"an unknown scenario", []string{"nowhere.toml"}, exitConfig, "nowhere.toml"},
		{"a policy that forecasts nothing", []string{"--worlds", "1", "--policy", "start"}, exitFailure,
			"makes no forecasts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := shell(t, append([]string{"arena", "forecasts"}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("got code %d: %s", code, stderr)
			}
		})
	}
}
