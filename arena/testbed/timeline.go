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

// window is a span of time, from inclusive, to exclusive.
type window struct{ from, to time.Duration }

func (w window) holds(t time.Duration) bool { return t >= w.from && t < w.to }

// timeline collects what the client saw, in the order of the answers. It is safe for concurrent use.
type timeline struct {
	mu   sync.Mutex
	all  []seen
	read int // how many answered has returned
}

func (t *timeline) record(r loadgen.Result) {
	t.mu.Lock()
	t.all = append(t.all, seen{due: r.Due, latency: r.Latency, workload: uint8(r.Workload),
		failed: r.Failure != loadgen.Success})
	t.mu.Unlock()
}

// answered returns the requests recorded since its last call.
func (t *timeline) answered() []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := slices.Clone(t.all[t.read:])
	t.read = len(t.all)
	return fresh
}

// sorted returns all requests by due time.
func (t *timeline) sorted() []seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.all)
	slices.SortFunc(all, func(a, b seen) int { return cmp.Compare(a.due, b.due) })
	return all
}

// within returns the requests of sorted that were due in w, without copying.
func within(sorted []seen, w window) []seen {
	at := func(d time.Duration) int {
		i, _ := slices.BinarySearchFunc(sorted, d, func(s seen, d time.Duration) int { return cmp.Compare(s.due, d) })
		return i
	}
	from := at(w.from)
	return sorted[from:max(from, at(w.to))]
}
