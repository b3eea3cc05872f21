package testbed

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"trimtab/loadgen"
)

// seen is what the client saw of one request. All of them are kept until the report is written: at 24 bytes a
// request an hour of 500 requests/s takes 43 MB.
type seen struct {
	due      time.Duration // offset from the start of the load at which the request was due
	latency  time.Duration // from due to the complete answer
	workload uint8
	failed   bool // no answer, or one that is not 2xx or 3xx
}

// window is a span of due times, from inclusive, to exclusive.
type window struct{ from, to time.Duration }

// timeline collects what the client saw. It is safe for concurrent use.
type timeline struct {
	mu  sync.Mutex
	all []seen
}

func (t *timeline) record(r loadgen.Result) {
	t.mu.Lock()
	t.all = append(t.all, seen{due: r.Due, latency: r.Latency, workload: uint8(r.Workload), failed: r.Failure != loadgen.Success})
	t.mu.Unlock()
}

// sorted returns all requests by due time.
func (t *timeline) sorted() []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(t.all, func(a, b seen) int { return cmp.Compare(a.due, b.due) })
	return t.all
}

// within returns the requests of sorted that were due in w, without copying.
func within(sorted []seen, w window) []seen {
	at := func(d time.Duration) int {
		i, _ := slices.BinarySearchFunc(sorted, d, func(s seen, d time.Duration) int { return cmp.Compare(s.due, d) })
		return i
	}
	return sorted[at(w.from):max(at(w.from), at(w.to))]
}
