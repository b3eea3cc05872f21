package testbed

import (
	"context"
	"sync"
	"time"
)

// witness says how much the machine kept the testbed waiting: a timer that should fire every witnessEvery, and how late
// it did. What the machine does to a timer it does to every answer of the backends too, so that an interval in which it
// was late says nothing of anybody.
type witness struct {
	mu    sync.Mutex
	sum   time.Duration
	worst time.Duration
	n     int
}

const witnessEvery = 5 * time.Millisecond

// run watches until ctx ends.
func (w *witness) run(ctx context.Context) {
	timer := time.NewTimer(witnessEvery)
	defer timer.Stop()
	for due := time.Now().Add(witnessEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		late := max(now.Sub(due), 0)
		w.mu.Lock()
		w.sum, w.worst, w.n = w.sum+late, max(w.worst, late), w.n+1
		w.mu.Unlock()
		due = now.Add(witnessEvery)
		timer.Reset(witnessEvery)
	}
}

// take returns the mean and the worst lateness since the last call.
func (w *witness) take() (mean, worst time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n > 0 {
		mean = w.sum / time.Duration(w.n)
	}
	worst = w.worst
	w.sum, w.worst, w.n = 0, 0, 0
	return mean, worst
}
