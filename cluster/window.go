package cluster

import (
	"time"

	"trimtab/vts"
)

// Interval is one interval of a history: one sample, or several merged into one window.
type Interval struct {
	Sample vts.Sample
	// Follows says that it began where the one before ended; false for the first and after a gap or a new epoch.
	Follows bool
	// Mixed says that the control changed within the interval.
	Mixed bool
}

// Windower merges consecutive samples into windows. A window that a gap, a new epoch or a change of servers cuts
// short of half its length is dropped.
type Windower struct {
	length  time.Duration
	pending Interval
	open    bool
	begun   bool      // a sample has been added
	active  float64   // sum of active connections × seconds
	end     time.Time // of the last sample
	broken  bool      // the next window follows a gap
	emit    func(Interval) error
	Dropped int // samples that went into no window
	parts   int // samples in the pending window
}

// NewWindower returns a windower of the given length that calls emit with every window; 0: every sample is one.
func NewWindower(length time.Duration, emit func(Interval) error) *Windower {
	return &Windower{length: length, emit: emit, broken: true}
}

// Add takes the next sample.
func (w *Windower) Add(s vts.Sample) error {
	start := s.At.Add(-s.Interval)
	gap := !w.begun || abs(start.Sub(w.end)) > max(s.Interval/2, 200*time.Millisecond)
	w.end, w.begun = s.At, true
	if w.open && (gap || !sameServers(w.pending.Sample, s)) {
		if err := w.Flush(); err != nil {
			return err
		}
		w.broken = true
	}
	if gap {
		w.broken = true
	}
	if !w.open {
		w.pending = Interval{Sample: clone(s), Follows: !w.broken, Mixed: s.Reloaded}
		w.open, w.broken, w.active, w.parts = true, false, 0, 0
	} else {
		w.pending.Mixed = w.pending.Mixed || s.Reloaded || Control(&w.pending.Sample) != Control(&s)
		merge(&w.pending.Sample, s)
	}
	w.parts++
	w.active += float64(s.Connections.Active) * s.Interval.Seconds()
	// Polls are never exact: a window is full when less than half a sample is missing.
	if w.pending.Sample.Interval+s.Interval/2 > w.length {
		return w.Flush()
	}
	return nil
}

// Flush ends the window that is being filled.
func (w *Windower) Flush() error {
	if !w.open {
		return nil
	}
	w.open = false
	if w.pending.Sample.Interval < w.length/2 {
		w.Dropped += w.parts
		w.broken = true
		return nil
	}
	if seconds := w.pending.Sample.Interval.Seconds(); seconds > 0 {
		w.pending.Sample.Connections.Active = uint64(w.active/seconds + 0.5)
	}
	return w.emit(w.pending)
}

func abs(d time.Duration) time.Duration { return max(d, -d) }

// sameServers reports whether both samples are of the same groups and servers in the same order.
func sameServers(a, b vts.Sample) bool {
	if len(a.Groups) != len(b.Groups) {
		return false
	}
	for g := range a.Groups {
		if a.Groups[g].Name != b.Groups[g].Name || len(a.Groups[g].Peers) != len(b.Groups[g].Peers) {
			return false
		}
		for p := range a.Groups[g].Peers {
			if a.Groups[g].Peers[p].Server != b.Groups[g].Peers[p].Server {
				return false
			}
		}
	}
	return true
}

// clone copies what merge changes; histograms are left out, features do not need them.
func clone(s vts.Sample) vts.Sample {
	groups := make([]vts.GroupSample, len(s.Groups))
	for g := range groups {
		groups[g] = s.Groups[g]
		groups[g].Peers = make([]vts.PeerSample, len(s.Groups[g].Peers))
		for p := range groups[g].Peers {
			groups[g].Peers[p] = s.Groups[g].Peers[p]
			groups[g].Peers[p].BucketsMsec, groups[g].Peers[p].Buckets = nil, nil
		}
	}
	s.Groups = groups
	return s
}

// merge adds s, which follows dst, to dst.
func merge(dst *vts.Sample, s vts.Sample) {
	if len(s.Hosts) > 0 { // what machines say covers their last seconds: the newest counts
		dst.Hosts = s.Hosts
	}
	dst.At, dst.Generation = s.At, s.Generation
	dst.Interval += s.Interval
	dst.Reloaded = dst.Reloaded || s.Reloaded
	c := dst.Connections
	dst.Connections = s.Connections
	dst.Connections.Accepted += c.Accepted
	dst.Connections.Handled += c.Handled
	dst.Connections.Requests += c.Requests
	for g := range dst.Groups {
		dst.Groups[g].NoLive += s.Groups[g].NoLive
		for i := range dst.Groups[g].Peers {
			p, q := &dst.Groups[g].Peers[i], &s.Groups[g].Peers[i]
			p.Weight, p.Backup, p.Down, p.Known = q.Weight, q.Backup, q.Down, p.Known || q.Known
			p.Requests += q.Requests
			p.InBytes += q.InBytes
			p.OutBytes += q.OutBytes
			p.RequestMsec += q.RequestMsec
			p.ResponseMsec += q.ResponseMsec
			for class := range p.Responses {
				p.Responses[class] += q.Responses[class]
			}
		}
	}
}
