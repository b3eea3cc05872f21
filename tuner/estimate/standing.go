package estimate

import (
	"fmt"
	"math"
	"slices"
)

// Standing is where a server stands between two intervals, beside what is known of it (Snapshot), as plain data.
type Standing struct {
	FailShare     []float64 `json:"fail_share"` // by class
	Inside        float64   `json:"inside"`
	DonePerSec    float64   `json:"done_per_s"`
	Used          float64   `json:"used"`
	Waited        float64   `json:"waited"`
	Slower        float64   `json:"slower"` // change statistic
	Faster        float64   `json:"faster"`
	ChangeLastSec float64   `json:"change_lasted_s"`
	SlowSec       float64   `json:"slow_s,omitempty"` // for which intervals have been outliers
}

// Standing returns where the server stands.
func (s *Server) Standing() Standing {
	return Standing{FailShare: slices.Clone(s.fail), Inside: s.inside, DonePerSec: s.done, Used: s.used,
		Waited: s.waited, Slower: s.shift.up, Faster: s.shift.down, ChangeLastSec: s.shift.lasted, SlowSec: s.slow}
}

// Check reports whether the standing is one of a server of so many classes.
func (s Standing) Check(classes int) error {
	if len(s.FailShare) != classes {
		return fmt.Errorf("standing of %d classes: want %d", len(s.FailShare), classes)
	}
	for _, v := range slices.Concat(s.FailShare, []float64{s.Inside, s.DonePerSec, s.Used, s.Waited,
		s.Slower, s.Faster, s.ChangeLastSec, s.SlowSec}) {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fmt.Errorf("standing with %v: not usable", v)
		}
	}
	return nil
}

// Resume makes the server stand where Check found it may.
func (s *Server) Resume(from Standing) {
	copy(s.fail, from.FailShare)
	s.inside, s.done, s.used, s.waited = from.Inside, from.DonePerSec, from.Used, from.Waited
	s.slow = from.SlowSec
	s.shift = shift{up: from.Slower, down: from.Faster, lasted: from.ChangeLastSec}
}
