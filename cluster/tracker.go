package cluster

import (
	"fmt"
	"math"

	"trimtab/vts"
)

// Tracker follows the regime of a running system: it assigns every interval, lets the model drift with what it
// sees, and asks for a new observation period when too much of it is novel. It is used by one goroutine.
type Tracker struct {
	model     *Model
	settings  TrackerSettings
	workspace *Workspace
	features  []float64
	window    []bool // ring of the last novelties
	at, seen  int
	novel     int // true elements of window

	evidence []float64 // per component: effective number of intervals behind its parameters
	stale    []bool    // per component: parameters moved since the last refresh
	moved    int       // intervals learned since the last refresh
	failed   error     // of the last refresh
}

// TrackerSettings configure a Tracker.
type TrackerSettings struct {
	Window    int     // intervals over which novel ones are counted; 0: 60
	Threshold float64 // share of novel intervals that calls for a new observation period, 0…1; 0: 0.3
	// Memory is how many intervals of a regime its parameters average over: each new one counts at least 1/Memory.
	// Only intervals of the regime itself make it forget. 0: 2000; negative: the model does not move.
	Memory  int
	Refresh int // intervals after which moved parameters take effect; 0: 20
	// Floor is the covariance floor of Settings; 0: 1e-6.
	Floor float64
}

// NewTracker returns a tracker of m, which it takes over.
func NewTracker(m *Model, s TrackerSettings) (*Tracker, error) {
	if s.Window == 0 {
		s.Window = 60
	}
	if s.Threshold == 0 {
		s.Threshold = 0.3
	}
	if s.Memory == 0 {
		s.Memory = 2000
	}
	if s.Refresh == 0 {
		s.Refresh = 20
	}
	if s.Floor == 0 {
		s.Floor = 1e-6
	}
	if s.Window < 1 || !(s.Threshold > 0 && s.Threshold <= 1) || s.Refresh < 1 || !(s.Floor > 0) {
		return nil, fmt.Errorf("novelty window %d, threshold %g, refresh %d, floor %g: want at least 1, in (0, 1], "+
			"at least 1, above 0",
			s.Window, s.Threshold, s.Refresh, s.Floor)
	}
	t := &Tracker{
		model: m, settings: s, workspace: m.NewWorkspace(), features: make([]float64, m.Schema.Dim()),
		window: make([]bool, s.Window), evidence: make([]float64, m.Mixture.K), stale: make([]bool, m.Mixture.K),
	}
	for k, w := range m.Mixture.Weights {
		t.evidence[k] = min(w*float64(m.Mixture.Fit.N), math.Abs(float64(s.Memory)))
	}
	return t, nil
}

// Model returns the model as it is now.
func (t *Tracker) Model() *Model { return t.model }

// Err is why moved parameters could not take effect, nil if they could: the model stays as it was before.
func (t *Tracker) Err() error { return t.failed }

// Track assigns the sample, counts its novelty and, unless it is novel, learns from it.
func (t *Tracker) Track(s *vts.Sample) (Assignment, error) {
	if err := t.model.Schema.FeaturesTo(t.features, s); err != nil {
		return Assignment{}, err
	}
	return t.TrackFeatures(t.features), nil
}

// TrackFeatures is Track of features as Schema.FeaturesTo gives them.
func (t *Tracker) TrackFeatures(features []float64) Assignment {
	a := t.model.Assign(t.workspace, features)
	if t.window[t.at] {
		t.novel--
	}
	t.window[t.at] = a.Novel
	if a.Novel {
		t.novel++
	}
	t.at = (t.at + 1) % len(t.window)
	t.seen = min(t.seen+1, len(t.window))
	if !a.Novel && t.settings.Memory > 0 {
		t.learn()
	}
	return a
}

// learn moves the parameters towards the interval in the workspace: one step of online EM (Cappé and Moulines
// 2009), with a gain of r/evidence per component, evidence being capped at the memory:
//
//	μ ← μ + g δ,  Σ ← (1−g)(Σ + g δδᵀ),  δ = z − μ.
func (t *Tracker) learn() {
	m, w := t.model.Mixture, t.workspace
	memory := float64(t.settings.Memory)
	var total float64
	for k, r := range w.Responsibilities {
		m.Weights[k] += (r - m.Weights[k]) / (memory * float64(m.K))
		total += m.Weights[k]
		if r < 1e-6 {
			continue
		}
		t.evidence[k] = min(t.evidence[k]+r, memory)
		g := min(r/t.evidence[k], 0.5) // a component of hardly any evidence does not jump onto one point
		mean := m.Mean(k)
		for j := range mean {
			w.c[j] = w.z[j] - mean[j]
			mean[j] += g * w.c[j]
		}
		t.moveCovariance(k, g, r/memory)
		t.stale[k] = true
	}
	for k := range m.Weights {
		m.Weights[k] /= total
	}
	if t.moved++; t.moved >= t.settings.Refresh {
		t.failed = t.refresh()
		t.moved = 0
	}
}

// moveCovariance moves the covariance of component k with gain g; the tied one with gain tied.
func (t *Tracker) moveCovariance(k int, g, tied float64) {
	m, delta := t.model.Mixture, t.workspace.c
	d := m.D
	switch m.Covariance {
	case Full, Tied:
		s := m.Covariances
		if m.Covariance == Full {
			s = s[k*d*d : (k+1)*d*d]
		} else {
			g = tied
		}
		for i := range d {
			for j := range d {
				s[i*d+j] = (1 - g) * (s[i*d+j] + g*delta[i]*delta[j])
			}
		}
	case Diag:
		for j := range d {
			v := &m.Covariances[k*d+j]
			*v = (1 - g) * (*v + g*delta[j]*delta[j])
		}
	case Spherical:
		var q float64
		for _, v := range delta {
			q += v * v
		}
		m.Covariances[k] = (1 - g) * (m.Covariances[k] + g*q/float64(d))
	}
}

// refresh lets moved parameters take effect.
func (t *Tracker) refresh() error {
	m := t.model.Mixture
	m.floorCovariances(t.stale, t.settings.Floor)
	clear(t.stale)
	if err := m.prepare(); err != nil {
		return fmt.Errorf("refresh model: %w", err)
	}
	for k := range t.model.Regimes {
		t.model.Regimes[k].Share = m.Weights[k]
	}
	return nil
}

// NovelShare is the share of novel intervals in the window, 0 before it is full.
func (t *Tracker) NovelShare() float64 {
	if t.seen < len(t.window) {
		return 0
	}
	return float64(t.novel) / float64(len(t.window))
}

// Recalibrate reports whether so much is novel that the model should be fitted again.
func (t *Tracker) Recalibrate() bool { return t.NovelShare() >= t.settings.Threshold }
