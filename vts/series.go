package vts

import (
	"slices"
	"time"
)

// Series turns a sequence of statuses into samples. It is the part that the poller and the readers of files share. The
// zero Series is ready.
type Series struct {
	prev    *Status
	epochs  uint64 // how often it had to start anew
	refused int    // replies refused in a row, prev staying what it was

	// Recorded says that the statuses come from a file: a pause in it is no observation time. Whatever lies in an
	// interval that is longer than 5 s and than 5 times the median of the last ones is left out, with ReasonGap.
	Recorded bool
	recent   []time.Duration // the last intervals, up to recentIntervals
	turn     int             // the next of them to be replaced
}

const (
	recentIntervals = 15
	gapAbove        = 5 * time.Second
	gapIntervals    = 5
)

// gap notes an interval and reports whether it is a pause of the recorder.
func (s *Series) gap(interval time.Duration) bool {
	if !s.Recorded {
		return false
	}
	if len(s.recent) > 0 && interval > gapAbove {
		sorted := slices.Sorted(slices.Values(s.recent))
		if interval > gapIntervals*sorted[len(sorted)/2] {
			return true // it says nothing of how often the recorder looks
		}
	}
	if len(s.recent) < recentIntervals {
		s.recent = append(s.recent, interval)
		return false
	}
	s.recent[s.turn] = interval
	s.turn = (s.turn + 1) % recentIntervals
	return false
}

// patience is how many replies in a row are left out as coming from an older configuration or as absurd before the
// series starts anew from them. A draining worker answers a poll or two; more of them mean that the clock was set back
// before a reload, or that the status before was the one that was wrong.
const patience = 5

// Next returns the difference between the last accepted status and cur, which must not change afterwards. When it
// fails, the RejectError says why there is no sample: the first status has ReasonFirst. cur then is the base for the
// next, unless it was left out as coming from an older configuration or as absurd.
func (s *Series) Next(cur *Status) (Sample, error) {
	if s.prev == nil {
		s.prev = cur
		return Sample{}, reject(ReasonFirst, "the first status has none to be compared with")
	}
	sample, err := Delta(s.prev, cur)
	if reason := ReasonOf(err); reason == ReasonGeneration || reason == ReasonAbsurd {
		if s.refused++; s.refused < patience {
			return Sample{}, err
		}
	}
	s.refused = 0
	if err != nil {
		s.epochs++
	}
	s.prev = cur
	if err == nil && s.gap(sample.Interval) {
		return Sample{}, reject(ReasonGap, "nothing was recorded for %v", sample.Interval)
	}
	return sample, err
}
