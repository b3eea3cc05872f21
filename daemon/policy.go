package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/rival"
	"trimtab/tuner"
)

// NewPolicy returns the learner that the configuration names, which has learned nothing yet.
func NewPolicy(cfg *Config) (control.Policy, error) {
	if cfg.pursues() {
		return newPursuit(cfg)
	}
	t := cfg.tunerConfig()
	if slices.Contains(rival.Trainable(), cfg.Tuner.Learner) {
		m, err := cfg.learnerModel()
		if err != nil {
			return nil, err
		}
		return rival.NewTrained(m)
	}
	switch cfg.Tuner.Learner {
	case "knapsack":
		return rival.NewKnapsack(rival.KnapsackConfig{})
	case "rollout":
		return rival.NewRollout(rival.RolloutConfig{Groups: t.Groups, Seed: t.Seed})
	case "grid":
		targets := make(map[string]objective.Target, len(t.Groups))
		for name, g := range t.Groups {
			targets[name] = objective.Target{Deadline: g.Deadline, Priority: g.Priority}
		}
		return rival.NewGrid(rival.GridConfig{Groups: targets, ErrorTardiness: t.ErrorTardiness, Regimes: t.Regimes,
			Seed: t.Seed, LearningRate: cfg.Tuner.LearningRate})
	case "l3":
		return rival.NewL3(rival.L3Config{})
	case "equal":
		return rival.NewEqual(), nil
	}
	return newTuner(cfg)
}

// newTuner returns the tuner that the configuration describes, whatever learner it names.
func newTuner(cfg *Config) (control.Policy, error) {
	return tuner.New(cfg.tunerConfig())
}

// learners may set weights; those of the literature beside them may only be watched.
func learners() []string { return []string{"tuned", "grid", "l3", "equal"} }

// watched are the learners that run with --observe only: nothing bounds what they do.
func watched() []string { return append(rival.Trainable(), "knapsack", "rollout") }

// ErrObserveOnly says that a learner may not set weights.
var ErrObserveOnly = errors.New("this learner is for comparison only: give --observe, or take tuned")

// mayDecide reports why the learner that is configured may not run: with observe it changes nothing.
func (c *Config) mayDecide(observe bool) error {
	if slices.Contains(watched(), c.Tuner.Learner) && !observe {
		return fmt.Errorf("tuner.learner %q: %w", c.Tuner.Learner, ErrObserveOnly)
	}
	return nil
}

// checkLearner reports what is wrong with the learner and its model.
func (c *Config) checkLearner() (errs []error) {
	name := c.Tuner.Learner
	if !slices.Contains(learners(), name) && !slices.Contains(watched(), name) {
		errs = append(errs, fmt.Errorf("tuner.learner %q: want tuned, grid, l3 or equal, or with --observe one of %v",
			name, watched()))
	}
	if r := c.Tuner.LearningRate; !(r >= 0 && r <= 1) {
		errs = append(errs, fmt.Errorf("tuner.learning_rate %v: want 0 (default) to 1", r))
	}
	trained := slices.Contains(rival.Trainable(), name)
	if trained != (c.Tuner.Model != "") {
		errs = append(errs, fmt.Errorf("tuner.learner %q, tuner.model %q: a model file goes with %v, and "+
			"only with them", name, c.Tuner.Model, rival.Trainable()))
	} else if trained {
		if _, err := c.learnerModel(); err != nil {
			errs = append(errs, fmt.Errorf("tuner.model: %w", err))
		}
	}
	return errs
}

// learnerModel reads the model file.
func (c *Config) learnerModel() (*rival.Model, error) {
	text, err := c.file(learnerFile)
	if err != nil {
		return nil, err
	}
	return rival.ReadModel(bytes.NewReader(text), c.Tuner.Learner)
}
