package daemon

import (
	"trimtab/control"
	"trimtab/rival"
	"trimtab/tuner"
)

// NewPolicy returns the learner that the configuration names, which has learned nothing yet.
func NewPolicy(cfg *Config) (control.Policy, error) {
	if cfg.pursues() {
		return newPursuit(cfg)
	}
	t := cfg.tunerConfig()
	switch cfg.Tuner.Learner {
	case "grid":
		return rival.NewGrid(rival.GridConfig{Groups: t.Targets(), ErrorTardiness: t.ErrorTardiness, Regimes: t.Regimes, Seed: t.Seed,
			LearningRate: t.LearningRate})
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
