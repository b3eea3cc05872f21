package loadgen

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// garbageMost is how much garbage may gather before it is collected while an attack runs. The runtime's own bound is as
// much as is in use, a few megabytes here, so that at 5,000 requests a second it collects three times a second; each
// time, processors work through the heap and requests are up to half a millisecond late.
const garbageMost = 32 << 20

// collections counts the attacks that asked for rare collections; the collector belongs to the whole process.
var collections struct {
	sync.Mutex
	attacks int
	before  int // GOGC before the first of them
	now     int
}

// collectLess makes collections rare until the function that it returns is called. Where the user sets GOGC, that
// holds.
func collectLess() (restore func()) {
	if _, set := os.LookupEnv("GOGC"); set {
		return func() {}
	}
	c := &collections
	c.Lock()
	defer c.Unlock()
	if c.attacks++; c.attacks == 1 {
		c.now = gcPercent()
		c.before = debug.SetGCPercent(c.now)
	}
	return func() {
		c.Lock()
		defer c.Unlock()
		if c.attacks--; c.attacks == 0 {
			debug.SetGCPercent(c.before)
		}
	}
}

// followHeap adapts the collector to what is in use by now. Setting it stops the process for a moment, so small changes
// are let be.
func followHeap() {
	c := &collections
	c.Lock()
	defer c.Unlock()
	if c.attacks == 0 {
		return
	}
	if want := gcPercent(); want > c.now*3/2 || want < c.now*2/3 {
		c.now = want
		debug.SetGCPercent(want)
	}
}

// leastHeap is what the runtime counts as in use at least: it multiplies that by GOGC before the first collection too.
const leastHeap = 4 << 20

// gcPercent is the GOGC at which garbageMost gathers, or the runtime's default if that is more.
func gcPercent() int {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return max(100, int(100*garbageMost/max(leastHeap, live[0].Value.Uint64())))
}
