package load

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"trimtab/cluster"
	"trimtab/vts"
)

// RegimeConfig says how load regimes are found. The zero value of a field means its default.
type RegimeConfig struct {
	// Model is a fitted model; nil: observe for the time Observe, fit, and go on.
	Model *cluster.Model
	// Observe is the observation period; default 20 min. Until it is over one regime stands for all load. The model is
	// fitted again when as long again has been seen, and at every doubling up to refitMost. A negative time turns
	// regimes off.
	Observe time.Duration
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
	Learning    bool    `json:"learning"`        // regimes are still being observed
	Fault       string  `json:"fault,omitempty"` // why regimes could not be fitted when they last should have been
}

// Regimes says which load regime an interval belongs to, and learns the regimes when no model is given. What follows
// what is in its Forecast.
type Regimes struct {
	cfg       RegimeConfig
	seed      uint64
	tracker   *cluster.Tracker
	collector *cluster.Collector
	seconds   []float64 // that each of the intervals collected stands for
	every     int       // how many intervals one that is collected stands for
	left      int       // intervals that are still left out before the next one is collected
	seen      time.Duration
	due       time.Duration // seen at which the model is fitted again
	fitting   *fitting      // nil: nothing is fitted now
	forecast  *Forecast
	fault     error
}

const (
	observeDefault     = 20 * time.Minute
	refitMost          = 4 * time.Hour // beyond it the model only drifts with what it sees
	intervalsPerRegime = 20
	shortestObserved   = 40 // intervals below which nothing is fitted, however long they are
)

// NewRegimes returns a tracker of regimes; seed is that of the fits made here.
func NewRegimes(cfg RegimeConfig, seed uint64) (*Regimes, error) {
	cfg.Observe, cfg.Count = cmp.Or(cfg.Observe, observeDefault), cmp.Or(cfg.Count, cluster.DefaultK)
	cfg.Certain, cfg.NovelShare = cmp.Or(cfg.Certain, 0.6), cmp.Or(cfg.NovelShare, 0.3)
	r := &Regimes{cfg: cfg, seed: seed, due: cfg.Observe, every: 1, collector: cluster.NewCollector(cluster.LoadFeatures)}
	if cfg.Model != nil {
		if err := r.use(cfg.Model); err != nil {
			return nil, err
		}
		r.collector = r.newCollector()
	}
	return r, nil
}

// use tracks the regimes of a model from now on. Nothing is known yet of what follows what in it.
func (r *Regimes) use(m *cluster.Model) error {
	tracker, err := cluster.NewTracker(m, cluster.TrackerSettings{Threshold: r.cfg.NovelShare})
	if err != nil {
		return fmt.Errorf("track regimes: %w", err)
	}
	r.tracker = tracker
	r.forecast = NewForecast(groupNames(m.Schema), m.Mixture.K)
	return nil
}

// Restore tracks the regimes of a model with what was learned of them, nil when there is nothing. What is observed here
// replaces it only when it has been as long as models are fitted again for.
func (r *Regimes) Restore(m *cluster.Model, known *Forecast) error {
	if known != nil {
		if err := known.check(groupNames(m.Schema), m.Mixture.K); err != nil {
			return err
		}
	}
	if err := r.use(m); err != nil {
		return err
	}
	if known != nil {
		r.due, r.forecast = refitMost, known.Clone()
	}
	return nil
}

func groupNames(s cluster.Schema) []string {
	out := make([]string, len(s.Groups))
	for i, g := range s.Groups {
		out[i] = g.Name
	}
	return out
}

// Model is the model whose regimes are tracked; nil: none yet.
func (r *Regimes) Model() *cluster.Model {
	if r.tracker == nil {
		return nil
	}
	return r.tracker.Model()
}

// Forecast is what is known of regimes and what follows them; nil: there is no model yet, or regimes are off.
func (r *Regimes) Forecast() *Forecast {
	if r.cfg.Observe < 0 {
		return nil
	}
	return r.forecast
}

// Learned is what the forecast has learned, also while regimes are off; nil: there is no model.
func (r *Regimes) Learned() *Forecast {
	if r.forecast == nil {
		return nil
	}
	return r.forecast.Clone()
}

// Track assigns a sample; regime −1 is unknown.
func (r *Regimes) Track(s *vts.Sample) Regime {
	if r.cfg.Observe < 0 && r.tracker == nil {
		return Regime{Label: "all load", Probability: 1}
	}
	r.observe(s)
	out := r.assign(s)
	if r.fault != nil {
		out.Fault = r.fault.Error()
	}
	return out
}

// assign says which regime a sample is in, and tells the forecast.
func (r *Regimes) assign(s *vts.Sample) Regime {
	if r.tracker == nil {
		return Regime{Label: "all load", Probability: 1, Learning: true}
	}
	m := r.tracker.Model()
	features, rates := make([]float64, m.Schema.Dim()), make([]float64, len(m.Schema.Groups))
	if err := m.Schema.FeaturesTo(features, s); err != nil {
		return Regime{Index: -1, Label: err.Error(), Novel: true}
	}
	a := r.tracker.TrackFeatures(features)
	m.Schema.RatesTo(rates, features)
	component := r.cfg.component(a)
	r.forecast.Observe(interval{component: component, sec: s.Interval.Seconds(), rates: rates})
	return Regime{Index: component, Label: m.Regimes[a.Regime].Label, Probability: a.Probability, Novel: a.Novel}
}

// observe collects intervals and has a model fitted when the observation period is over, when as much again has been
// seen, and when the world has changed so much that the old model explains too little.
func (r *Regimes) observe(s *vts.Sample) {
	if r.cfg.Observe < 0 || r.cfg.Model != nil && !r.tracker.Recalibrate() && r.collector.Len() == 0 {
		return
	}
	if err := r.collect(s); err != nil {
		r.fault = err
		return
	}
	if r.fitting != nil {
		if r.fitting.left -= s.Interval; r.fitting.left <= 0 {
			r.finish()
		}
		return
	}
	stale := r.tracker != nil && r.tracker.Recalibrate()
	if r.collector.Len() < shortestObserved || r.seen < r.due && !(stale && r.seen >= r.cfg.Observe) {
		return
	}
	r.fitting = begin(r.collector, r.cfg, r.seed, stale)
}

// finish takes over the model that was fitted meanwhile.
func (r *Regimes) finish() {
	f := r.fitting
	r.fitting = nil
	fitted := <-f.result
	if r.fault = fitted.err; r.fault == nil {
		r.fault = r.learned(fitted)
	}
	if r.due *= 2; r.due > refitMost || f.stale { // begin again
		r.restart()
		if !f.stale {
			r.due = math.MaxInt64
		}
	}
}

// restart forgets what was collected, and what is being fitted to it.
func (r *Regimes) restart() {
	if r.fitting != nil {
		r.fitting.stop()
		r.fitting = nil
	}
	r.collector, r.seconds, r.seen, r.due = r.newCollector(), nil, 0, r.cfg.Observe
	r.every, r.left = 1, 0
}

// newCollector gathers what the present model is of: a model that was given may have machines of servers among its
// features, and so has the one that takes its place.
func (r *Regimes) newCollector() *cluster.Collector {
	c := cluster.NewCollector(cluster.LoadFeatures)
	if m := r.Model(); m != nil {
		return c.WithHosts(m.Schema.Hosts)
	}
	return c
}

// collect adds an interval to what was observed.
func (r *Regimes) collect(s *vts.Sample) error {
	if r.due == math.MaxInt64 && !r.tracker.Recalibrate() {
		return nil
	}
	if r.left > 0 && len(r.seconds) > 0 && r.collector.Fits(s) {
		r.left--
		r.seen += s.Interval
		r.seconds[len(r.seconds)-1] += s.Interval.Seconds()
		return nil
	}
	r.thin()
	if err := r.collector.Add(s); err != nil { // other groups than before: begin again
		r.restart()
		if err := r.collector.Add(s); err != nil {
			return err
		}
	}
	r.seen += s.Interval
	r.seconds = append(r.seconds, s.Interval.Seconds())
	r.left = r.every - 1
	return nil
}

// thin leaves out every other interval when more were collected than there is room for. The ones before them stand for
// them, then and from then on. While a model is fitted nothing is left out, for the intervals are told by their number
// then.
func (r *Regimes) thin() {
	n := r.collector.Len()
	if r.fitting != nil || n%2 != 0 || n*r.collector.Schema().Dim() <= collectedMost {
		return
	}
	r.collector = r.collector.Thin(n / 2)
	seconds := make([]float64, n/2)
	for i := range seconds {
		seconds[i] = r.seconds[2*i] + r.seconds[2*i+1]
	}
	r.seconds = seconds
	r.every *= 2
}

// collectedMost is how many features of all intervals are collected: 8 MiB. Of three groups it is two days every 3 s,
// of a hundred 100 min.
const collectedMost = 1 << 20

// learned tracks a new model and tells its forecast the past.
func (r *Regimes) learned(f fitted) error {
	old := r.forecast
	if err := r.use(f.model); err != nil {
		return err
	}
	data, w := r.collector.Matrix(), f.model.NewWorkspace()
	past := make([]interval, len(r.seconds))
	for i, sec := range r.seconds {
		var component int
		if i < len(f.components) {
			component = f.components[i]
		} else {
			component = r.cfg.component(f.model.Assign(w, data.RawRowView(i)))
		}
		past[i] = interval{component: component, sec: sec, rates: make([]float64, len(f.model.Schema.Groups))}
		f.model.Schema.RatesTo(past[i].rates, data.RawRowView(i))
	}
	r.forecast.replay(past)
	if old != nil {
		r.forecast.inherit(old)
	}
	return nil
}

// component is the component of the mixture that an interval is taken to be of; −1: none that is known.
func (c *RegimeConfig) component(a cluster.Assignment) int {
	if a.Novel || a.Probability < c.Certain {
		return -1
	}
	return a.Regime
}
