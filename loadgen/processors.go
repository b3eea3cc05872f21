package loadgen

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"time"
)

// The precise sleep of a pacer is a blocking system call, and the runtime counts it as work: the processor (one of
// GOMAXPROCS) that it was called on stays with the sleeping thread until the runtime takes it back, up to ten
// milliseconds later. With as many bursts as processors nobody would read answers meanwhile: three bursts on two cores
// added 4 ms to every latency. A sleep in Go's own poller has no such cost, but it is less precise and needs 1.6 times
// the processor time. So half of the processors are kept out of the pacers' reach: where there are too many pacers for
// the rest, the runtime gets more processors as long as the attack runs.

// processors guards GOMAXPROCS, which belongs to the whole process, between reading and setting it.
var processors sync.Mutex

// addProcessors gives the runtime what so many pacers lack and returns how to take it back.
func addProcessors(pacers int) (restore func()) {
	lacking := pacers - runtime.GOMAXPROCS(0)/2
	if lacking <= 0 {
		return func() {}
	}
	add := func(n int) {
		processors.Lock()
		defer processors.Unlock()
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
	add(lacking)
	return func() { add(-lacking) }
}

// mostAtOnce returns how many of the bursts run side by side at most. Each counts from before its start, when its pacer
// begins to wait, to grace after its end.
func mostAtOnce(bursts []*burst) (most int) {
	type change struct {
		at time.Duration
		by int
	}
	var changes []change
	for _, b := range bursts {
		p := b.pacer
		changes = append(changes, change{p.start - early, 1}, change{p.start + p.duration + p.grace, -1})
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.at, b.at), b.by-a.by)
	})
	now := 0
	for _, c := range changes {
		now += c.by
		most = max(most, now)
	}
	return most
}
