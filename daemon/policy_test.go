package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trimtab/rival"
)

func TestLearnersOfTheLiteratureOnlyObserve(t *testing.T) {
	for _, c := range []struct {
		name, learner string
		observe       bool
		refused       bool
	}{
		{"the tuner may decide", "tuned", false, false},
		{"l3 may decide", "l3", false, false},
		{"a network may not", "dqn", false, true},
		{"a network may be watched", "dqn", true, false},
		{"a rollout may not decide", "rollout", false, true},
		{"a knapsack may be watched", "knapsack", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Tuner.Learner = c.learner
			if err := cfg.mayDecide(c.observe); errors.Is(err, ErrObserveOnly) != c.refused {
				t.Errorf("got %v, want refused %t", err, c.refused)
			}
		})
	}
}

func TestModelsOfLearnersAreChecked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, learner, model, want string }{
		{"a learner that nobody knows", "ddpg", "", `tuner.learner "ddpg"`},
		{"a network without a model", "dqn", "", "a model file goes with"},
		{"a model for the tuner", "tuned", write("m.json", "{}"), "a model file goes with"},
		{"a model of another version", "dqn", write("v.json", `{"version": 9, "kind": "dqn"}`), "version 9"},
		{"a model of another learner", "dqn", write("k.json", `{"version": 1, "kind": "table"}`), `of "table"`},
		{"a model that is not there", "table", filepath.Join(dir, "none.json"), "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Tuner.Learner, cfg.Tuner.Model = c.learner, c.model
			errs := cfg.checkLearner()
			if len(errs) == 0 || !strings.Contains(errors.Join(errs...).Error(), c.want) {
				t.Errorf("got %v, want an error with %q", errs, c.want)
			}
		})
	}
	cfg := Defaults()
	cfg.Tuner.Learner = "knapsack"
	p, err := NewPolicy(cfg)
	if _, ok := p.(*rival.Knapsack); err != nil || !ok {
		t.Errorf("knapsack: got %T, %v", p, err)
	}
}
