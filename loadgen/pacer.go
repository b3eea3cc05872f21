package loadgen

import (
	"context"
	"runtime"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
)

// coarse is how long before a due time the pacer changes from a timer, which can be interrupted, to the precise sleep.
const coarse = 5 * time.Millisecond

// early is how long before its start a burst is made ready.
const early = 10 * coarse

// yieldAbove is the wait above which the pacer lets the worker run that it has just handed a request to: at once, on
// this warm core, instead of after the wake-up of another. The worker's write takes too long for shorter waits.
const yieldAbove = 50 * time.Microsecond

// pacer is the vegeta Pacer that blocks until the next request is due, precisely, and notes the due time. vegeta calls
// it from one goroutine.
type pacer struct {
	ctx      context.Context
	process  *arrival.Process
	epoch    time.Time     // start of the attack
	start    time.Duration // of the burst, from epoch
	duration time.Duration
	grace    time.Duration // how late the last requests may be sent
	waiter   *waiter
	due      *dueTimes
	workers  uint64        // the most there are
	capped   uint64        // requests that found all workers busy
	ended    bool          // every request due within the burst was dispatched
	last     time.Duration // the last due time dispatched, from epoch
	pending  time.Duration // the last due time drawn, from epoch, if it was not dispatched
}

var _ vegeta.Pacer = (*pacer)(nil)

// begin makes the pacer ready to count from epoch, until ctx ends.
func (p *pacer) begin(ctx context.Context, epoch time.Time) {
	p.ctx, p.epoch = ctx, epoch
	p.waiter = newWaiter(func() time.Duration { return time.Since(epoch) }, sleep)
}

// Pace implements vegeta.Pacer. It sleeps itself and always returns a wait of 0.
func (p *pacer) Pace(time.Duration, uint64) (wait time.Duration, stop bool) {
	if p.ctx.Err() != nil || time.Since(p.epoch) > p.start+p.duration+p.grace {
		return 0, true
	}
	due, ok := p.process.Next()
	if !ok || due > p.duration {
		p.ended = true
		return 0, true
	}
	due += p.start
	if !p.sleepUntil(due) {
		p.pending = due
		return 0, true
	}
	p.last = due
	if p.due.push(due) > p.workers {
		p.capped++
	}
	return 0, false
}

// Rate implements vegeta.Pacer.
func (p *pacer) Rate(elapsed time.Duration) float64 { return p.process.Rate(elapsed) }

// sleepUntil returns true at the offset due, or false as soon as the context is done.
func (p *pacer) sleepUntil(due time.Duration) bool {
	wait := due - time.Since(p.epoch)
	if wait > 2*coarse {
		timer := time.NewTimer(wait - coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			return false
		}
		wait = due - time.Since(p.epoch)
	}
	if wait > yieldAbove {
		runtime.Gosched()
	}
	p.waiter.until(due)
	return true
}

// countAtMost bounds how many arrivals that were never sent are drawn one by one to count them.
const countAtMost = 10_000_000

// unsent returns how many requests were due by the offset end, from epoch, but never dispatched.
func (p *pacer) unsent(end time.Duration) (n uint64) {
	if p.ended {
		return 0
	}
	if p.pending > 0 {
		if p.pending > end {
			return 0
		}
		n++
	}
	end = min(end-p.start, p.duration)
	for range countAtMost {
		due, ok := p.process.Next()
		if !ok || due > end {
			return n
		}
		n++
	}
	return n + uint64(p.process.Remaining(end))
}
