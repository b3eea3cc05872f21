package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Budget limits reloads. Every reload leaves old workers draining for as long as their connections live, so a storm of
// them eats memory. A change that the budget does not allow is refused before anything is written, with the reason.
// The zero value has the defaults; one Budget serves one Applier.
type Budget struct {
	Burst    int           // reloads that may follow each other; 0: 6
	Every    time.Duration // one more is allowed after so long; 0: 30 s
	Interval time.Duration // least time between two reloads; 0: 2 s; negative: none
	// MaxGenerations is how many generations of draining workers may live; 0: 2; negative: any number.
	MaxGenerations int
	MaxDraining    int   // how many draining workers may live; 0: any number
	MaxMemoryBytes int64 // of the master and all its workers (proportional set size); 0: any amount

	mu      sync.Mutex
	limiter *rate.Limiter
	last    time.Time
}

// Load is what NGINX's processes weigh.
type Load struct {
	Workers     int // serving
	Draining    int // finishing their last connections
	Generations int // of draining workers
	MemoryBytes int64
}

// ReadLoad looks at the processes of the master.
func ReadLoad(masterPID int) (Load, error) {
	ws, err := workers(masterPID)
	if err != nil {
		return Load{}, err
	}
	l := Load{MemoryBytes: memory(masterPID)}
	var starts []uint64
	for _, w := range ws {
		l.MemoryBytes += memory(w.pid)
		if !w.draining {
			l.Workers++
			continue
		}
		l.Draining++
		starts = append(starts, w.started)
	}
	// The workers of one generation start together, within some hundredths of a second.
	slices.Sort(starts)
	for i, s := range starts {
		if i == 0 || s-starts[i-1] > 50 {
			l.Generations++
		}
	}
	return l, nil
}

// memory is the proportional set size of a process in bytes; 0 when it cannot be known.
func memory(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == "Pss:" {
			kb, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// allow refuses when a reload is not allowed now.
func (b *Budget) allow(now time.Time, masterPID int, forced bool) error {
	if b == nil || forced {
		return nil
	}
	if err := b.rate(now); err != nil {
		return err
	}
	generations := b.MaxGenerations
	if generations == 0 {
		generations = 2
	}
	// 0: its processes are not to be seen
	if masterPID == 0 || generations < 0 && b.MaxDraining == 0 && b.MaxMemoryBytes == 0 {
		return nil
	}
	l, err := ReadLoad(masterPID)
	if err != nil {
		return err
	}
	hold := func(format string, args ...any) error {
		return &Refusal{Reason: "held: " + fmt.Sprintf(format, args...), RetryAfter: b.interval()}
	}
	switch {
	case generations > 0 && l.Generations > generations:
		return hold("%d generations of draining workers live, at most %d may", l.Generations, generations)
	case b.MaxDraining > 0 && l.Draining > b.MaxDraining:
		return hold("%d draining workers live, at most %d may", l.Draining, b.MaxDraining)
	case b.MaxMemoryBytes > 0 && l.MemoryBytes > b.MaxMemoryBytes:
		return hold("NGINX uses %d MiB, at most %d MiB may be used", l.MemoryBytes>>20, b.MaxMemoryBytes>>20)
	}
	return nil
}

// Held says why no reload is allowed at the given time as far as their rate is concerned; empty: one is.
func (b *Budget) Held(now time.Time) string {
	if refusal := (*Refusal)(nil); errors.As(b.rate(now), &refusal) {
		return strings.TrimPrefix(refusal.Reason, "held: ")
	}
	return ""
}

func (b *Budget) rate(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
	if b.last.After(now) { // by a clock without a monotonic reading that has been set back
		b.last = now
	}
	if wait := b.last.Add(b.interval()).Sub(now); !b.last.IsZero() && wait > 0 {
		return &Refusal{Reason: fmt.Sprintf("held: the last reload was %s ago, the least interval is %s",
			now.Sub(b.last).Round(time.Millisecond), b.interval()), RetryAfter: wait}
	}
	if tokens := b.limiter.TokensAt(now); tokens < 1 {
		wait := time.Duration((1 - tokens) / float64(b.limiter.Limit()) * float64(time.Second))
		return &Refusal{
			Reason: fmt.Sprintf("held: the reload budget is used up (%d at once, then one per %s)",
				b.limiter.Burst(), b.every()),
			RetryAfter: max(wait, time.Millisecond),
		}
	}
	return nil
}

// spend counts a reload.
func (b *Budget) spend(now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start()
	b.limiter.AllowN(now, 1)
	b.last = now
}

func (b *Budget) start() {
	if b.limiter == nil {
		burst := b.Burst
		if burst == 0 {
			burst = 6
		}
		b.limiter = rate.NewLimiter(rate.Every(b.every()), burst)
	}
}

func (b *Budget) every() time.Duration {
	if b.Every > 0 {
		return b.Every
	}
	return 30 * time.Second
}

func (b *Budget) interval() time.Duration {
	switch {
	case b.Interval > 0:
		return b.Interval
	case b.Interval < 0:
		return 0
	}
	return 2 * time.Second
}
