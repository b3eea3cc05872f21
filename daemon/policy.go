package daemon

import (
	"trimtab/control"
	"trimtab/rival"
	"trimtab/tuner"
)

// NewPolicy returns the learner that the configuration names, which has learned nothing yet.
func NewPolicy(cfg *Config) (control.Policy, error) {
	t := cfg.tunerConfig()
	switch cfg.Tuner.Learner {
	case "grid":
		return rival.NewGrid(rival.GridConfig{Groups: t.Targets(), ErrorTardiness: t.ErrorTardiness, Regimes: t.Regimes, Seed: t.Seed,
			LearningRate: t.LearningRate, Gamma: t.Gamma})
	case "l3":
		return rival.NewL3(rival.L3Config{})
	case "equal":
		return rival.NewEqual(), nil
	}
	return newTuner(cfg)
}

// newTuner returns the tuner that the configuration describes, whatever learner it names.
func newTuner(cfg *Config) (control.Policy, error) {
	t, err := tuner.New(cfg.tunerConfig())
	if err != nil {
		return nil, err
	}
	return &tuner.Policy{Tuner: t}, nil
}
