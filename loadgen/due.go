package loadgen

import (
	"sync"
	"time"
)

// segmentSize is how many requests share one segment of the due times.
const segmentSize = 4096

// segment holds the due and start times of consecutive requests, as offsets from the start of the attack.
type segment struct {
	due, sent [segmentSize]time.Duration
	open      int // requests without a result yet
}

// dueTimes remembers when each request was due until its result is in: the pacer appends, the collector takes. Segments
// are dropped once all their results are in, so that one slow request holds 64 KiB and not everything after it.
type dueTimes struct {
	mu    sync.Mutex
	first uint64     // number of segments[0]
	segs  []*segment // nil when dropped
	next  uint64     // sequence number of the next request
	taken uint64     // results that are in
	spare *segment
}

// push appends the due time of the next request and returns how many requests have no result yet, this one included.
func (d *dueTimes) push(due time.Duration) (unanswered uint64) {
	d.mu.Lock()
	at := d.next % segmentSize
	if at == 0 {
		s := d.spare
		if d.spare = nil; s == nil {
			s = new(segment)
		}
		s.open = segmentSize
		d.segs = append(d.segs, s)
	}
	d.segs[len(d.segs)-1].due[at] = due
	d.next++
	unanswered = d.next - d.taken
	d.mu.Unlock()
	return unanswered
}

// take returns the due time of request seq, whose result is in and which was started at sent. When that completes a
// segment, the segment is returned as well; it must be given back with recycle.
func (d *dueTimes) take(seq uint64, sent time.Duration) (due time.Duration, complete *segment) {
	d.mu.Lock()
	d.taken++
	i := seq/segmentSize - d.first
	s := d.segs[i]
	at := seq % segmentSize
	due, s.sent[at] = s.due[at], sent
	if s.open--; s.open == 0 {
		complete = s
		d.segs[i] = nil
		for len(d.segs) > 0 && d.segs[0] == nil {
			d.segs = d.segs[1:]
			d.first++
		}
	}
	d.mu.Unlock()
	return due, complete
}

// recycle takes back a segment for the next use.
func (d *dueTimes) recycle(s *segment) {
	d.mu.Lock()
	d.spare = s
	d.mu.Unlock()
}

// unanswered returns how many requests were pushed but have no result.
func (d *dueTimes) unanswered() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.next - d.taken
}

// rest calls add with every segment that is not complete and the number of its leading requests whose results are in;
// to be called when no result is outstanding, so that only the last segment can be incomplete, and only at its end.
func (d *dueTimes) rest(add func(*segment, int)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.segs {
		if s == nil {
			continue
		}
		add(s, segmentSize-s.open)
	}
}
