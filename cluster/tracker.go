package cluster

import (
	"fmt"

	"trimtab/vts"
)

// Tracker follows the regime of a running system: it assigns every interval, lets the model forget and drift with
// what it sees, and asks for a new observation period when too much of it is novel. It is used by one goroutine.
type Tracker struct {
	model     *Model
	settings  TrackerSettings
	workspace *Workspace
	features  []float64
	window    []bool // ring of the last novelties
	at, seen  int
	novel     int // true elements of window
}

// TrackerSettings configure a Tracker.
type TrackerSettings struct {
	Window    int     // intervals over which novel ones are counted; 0: 60
	Threshold float64 // share of novel intervals that calls for a new observation period, 0…1; 0: 0.3
}

// NewTracker returns a tracker of m, which it takes over.
func NewTracker(m *Model, s TrackerSettings) (*Tracker, error) {
	if s.Window == 0 {
		s.Window = 60
	}
	if s.Threshold == 0 {
		s.Threshold = 0.3
	}
	if s.Window < 1 || !(s.Threshold > 0 && s.Threshold <= 1) {
		return nil, fmt.Errorf("novelty window %d and threshold %g: want at least 1 and in (0, 1]", s.Window, s.Threshold)
	}
	return &Tracker{
		model: m, settings: s, workspace: m.NewWorkspace(), features: make([]float64, m.Schema.Dim()),
		window: make([]bool, s.Window),
	}, nil
}

// Model returns the model as it is now.
func (t *Tracker) Model() *Model { return t.model }

// Track assigns the sample and counts its novelty.
func (t *Tracker) Track(s *vts.Sample) (Assignment, error) {
	if err := t.model.Schema.FeaturesTo(t.features, s); err != nil {
		return Assignment{}, err
	}
	a := t.model.Assign(t.workspace, t.features)
	if t.window[t.at] {
		t.novel--
	}
	t.window[t.at] = a.Novel
	if a.Novel {
		t.novel++
	}
	t.at = (t.at + 1) % len(t.window)
	t.seen = min(t.seen+1, len(t.window))
	return a, nil
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
