package vts

// Series turns a sequence of statuses into samples. It is the part that the poller and the readers of files share. The
// zero Series is ready.
type Series struct {
	prev    *Status
	epochs  uint64 // how often it had to start anew
	refused int    // replies refused in a row, prev staying what it was
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
	return sample, err
}
