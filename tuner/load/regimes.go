package load

import (
	"context"
	"fmt"

	"trimtab/cluster"
	"trimtab/vts"
)

// RegimeConfig says how load regimes are found. The zero value of a field means its default.
type RegimeConfig struct {
	// Model is a fitted model; nil: observe Observe intervals, fit, and go on.
	Model *cluster.Model
	// Observe is the observation period in control intervals; default 600 (half an hour at 3 s). Until it is over one
	// regime stands for all load. A negative number turns regimes off.
	Observe int
	// Count is the largest number of regimes of a model that is fitted here; default 27, and at most one per 20
	// intervals. How many there are is decided by the Bayesian information criterion.
	Count int
	// Certain is the probability below which a regime counts as unknown; default 0.6.
	Certain float64
	// NovelShare is the share of novel intervals in a window of 60 that calls for a new model; default 0.3.
	NovelShare float64
}

// Regime is which load regime an interval was in.
type Regime struct {
	Index       int     `json:"index"` // −1: unknown
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
	Novel       bool    `json:"novel"`
	Learning    bool    `json:"learning"` // regimes are still being observed
}

// Regimes says which load regime an interval belongs to, and learns the regimes when no model is given.
type Regimes struct {
	cfg       RegimeConfig
	seed      uint64
	tracker   *cluster.Tracker
	collector *cluster.Collector
	epoch     int // counts models: what was learned under an older one is not used
	fault     error
}

const intervalsPerRegime = 20

// NewRegimes returns a tracker of regimes; seed is that of the fits made here.
func NewRegimes(cfg RegimeConfig, seed uint64) (*Regimes, error) {
	if cfg.Observe == 0 {
		cfg.Observe = 600
	}
	if cfg.Count == 0 {
		cfg.Count = cluster.DefaultK
	}
	if cfg.Certain == 0 {
		cfg.Certain = 0.6
	}
	if cfg.NovelShare == 0 {
		cfg.NovelShare = 0.3
	}
	r := &Regimes{cfg: cfg, seed: seed, collector: cluster.NewCollector(cluster.LoadFeatures)}
	if cfg.Model != nil {
		if err := r.Use(cfg.Model); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Use tracks the regimes of a model from now on.
func (r *Regimes) Use(m *cluster.Model) error {
	tracker, err := cluster.NewTracker(m, cluster.TrackerSettings{Threshold: r.cfg.NovelShare})
	if err != nil {
		return fmt.Errorf("track regimes: %w", err)
	}
	r.tracker = tracker
	r.epoch++
	return nil
}

// Model is the model whose regimes are tracked; nil: none yet.
func (r *Regimes) Model() *cluster.Model {
	if r.tracker == nil {
		return nil
	}
	return r.tracker.Model()
}

// Epoch counts models: what was learned of the regimes of another one is not of these.
func (r *Regimes) Epoch() int { return r.epoch }

// Left is how many intervals are still to be observed before regimes are known.
func (r *Regimes) Left() int {
	if r.tracker != nil || r.cfg.Observe < 0 {
		return 0
	}
	return max(0, r.cfg.Observe-r.collector.Len())
}

// Track assigns a sample; regime −1 is unknown.
func (r *Regimes) Track(s *vts.Sample) Regime {
	if r.cfg.Observe < 0 && r.tracker == nil {
		return Regime{Label: "all load", Probability: 1}
	}
	r.observe(s)
	if r.tracker == nil {
		return Regime{Label: "all load", Probability: 1, Learning: true}
	}
	a, err := r.tracker.Track(s)
	if err != nil {
		return Regime{Index: -1, Label: err.Error(), Novel: true}
	}
	e := Regime{Index: a.Regime, Label: r.tracker.Model().Regimes[a.Regime].Label, Probability: a.Probability, Novel: a.Novel}
	if a.Novel || a.Probability < r.cfg.Certain {
		e.Index = -1
	}
	return e
}

// observe collects intervals and fits a model when the observation period is over, or again when the world has
// changed so much that the old one explains too little.
func (r *Regimes) observe(s *vts.Sample) {
	if r.cfg.Observe < 0 || s.Reloaded {
		return
	}
	if err := r.collector.Add(s); err != nil { // other groups than before: begin again
		r.collector = cluster.NewCollector(cluster.LoadFeatures)
		if err := r.collector.Add(s); err != nil {
			r.fault = err
		}
	}
	stale := r.tracker == nil || r.tracker.Recalibrate()
	if !stale || r.collector.Len() < r.cfg.Observe {
		if r.collector.Len() >= 4*r.cfg.Observe {
			r.collector = cluster.NewCollector(cluster.LoadFeatures)
		}
		return
	}
	model, err := r.fit()
	r.collector = cluster.NewCollector(cluster.LoadFeatures)
	if err == nil {
		err = r.Use(model)
	}
	r.fault = err
}

// fit tries numbers of regimes up to the one asked for and takes the one with the lowest Bayesian information
// criterion: a steady load has one regime, however much it is looked at, and what is learned must not be scattered.
func (r *Regimes) fit() (*cluster.Model, error) {
	var best *cluster.Model
	most := min(r.cfg.Count, max(1, r.collector.Len()/intervalsPerRegime))
	for k := 1; ; k = min(most, k+max(1, k/2)) {
		m, err := r.collector.Fit(context.Background(), cluster.Settings{K: k, Covariance: cluster.Diag, Seed: r.seed})
		if err != nil {
			return nil, err
		}
		if best == nil || m.Mixture.Fit.BIC < best.Mixture.Fit.BIC {
			best = m
		}
		if k == most {
			return best, nil
		}
	}
}
