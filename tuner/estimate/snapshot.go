package estimate

import (
	"fmt"
	"math"
	"slices"
)

// Snapshot is what is known of a server and where it stands between two intervals, as plain data.
type Snapshot struct {
	Slots []SlotsSnapshot `json:"slots"`        // in the order of queueing.Slots
	SCV   []float64       `json:"response_scv"` // by class
	Standing
}

// SlotsSnapshot is what is known of a server if it has a certain number of slots.
type SlotsSnapshot struct {
	LogServiceSec []float64 `json:"log_service_s"` // by class
	Variance      []float64 `json:"variance"`      // by class
	Common        float64   `json:"common_variance"`
	Evidence      float64   `json:"evidence_nats"`
	Probability   float64   `json:"probability"`
}

// Standing is where a server stands, beside what is known of it.
type Standing struct {
	FailShare     []float64 `json:"fail_share"` // by class
	Inside        float64   `json:"inside"`
	DonePerSec    float64   `json:"done_per_s"`
	Used          float64   `json:"used"`
	Waited        float64   `json:"waited"`
	Slower        float64   `json:"slower"` // change statistic
	Faster        float64   `json:"faster"`
	ChangeLastSec float64   `json:"change_lasted_s"`
	Excess        float64   `json:"deviation_excess,omitempty"` // of the mean square of deviations
	SlowSec       float64   `json:"slow_s,omitempty"`           // for which intervals have been outliers
}

// Snapshot returns what is known of the server, and where it stands.
func (s *Server) Snapshot() Snapshot {
	out := Snapshot{SCV: slices.Clone(s.scv), Standing: Standing{FailShare: slices.Clone(s.fail), Inside: s.inside,
		DonePerSec: s.done, Used: s.used, Waited: s.waited, Slower: s.shift.up, Faster: s.shift.down,
		ChangeLastSec: s.shift.lasted, Excess: s.shift.excess, SlowSec: s.slow}}
	for h := range s.slots {
		b := &s.slots[h]
		out.Slots = append(out.Slots, SlotsSnapshot{LogServiceSec: slices.Clone(b.log),
			Variance: slices.Clone(b.variance), Common: b.common, Evidence: b.evidence, Probability: s.Prob[h]})
	}
	return out
}

// Check reports whether the snapshot, whose numbers are usable, is one of a server of so many classes.
func (s Snapshot) Check(classes int) error {
	if len(s.Slots) != choices {
		return fmt.Errorf("%d numbers of slots: want %d", len(s.Slots), choices)
	}
	if len(s.SCV) != classes || len(s.FailShare) != classes {
		return fmt.Errorf("%d classes, failures of %d: want %d", len(s.SCV), len(s.FailShare), classes)
	}
	sum := 0.0
	for _, b := range s.Slots {
		if len(b.LogServiceSec) != classes || len(b.Variance) != classes {
			return fmt.Errorf("%d classes: want %d", len(b.LogServiceSec), classes)
		}
		for _, v := range b.LogServiceSec {
			if math.Abs(v) > mostLog {
				return fmt.Errorf("a logarithm of service times of %v: not usable", v)
			}
		}
		sum += b.Probability
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("probabilities sum to %v: want 1", sum)
	}
	return nil
}

// Restore returns the server of a snapshot that Check found usable.
func Restore(from Snapshot) *Server {
	s := NewServer(len(from.SCV))
	copy(s.scv, from.SCV)
	copy(s.fail, from.FailShare)
	s.inside, s.done, s.used, s.waited, s.slow = from.Inside, from.DonePerSec, from.Used, from.Waited, from.SlowSec
	s.shift = shift{up: from.Slower, down: from.Faster, lasted: from.ChangeLastSec, excess: from.Excess}
	for h := range s.slots {
		b, known := &s.slots[h], &from.Slots[h]
		copy(b.log, known.LogServiceSec)
		copy(b.variance, known.Variance)
		b.common, b.evidence, s.Prob[h] = known.Common, known.Evidence, known.Probability
		for _, v := range b.variance {
			s.seen = s.seen || v > 0
		}
	}
	return s
}
