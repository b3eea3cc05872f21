package loadgen

import "time"

const (
	// spinShare is the most of one processor's time that waiting may spin away.
	spinShare = 0.2
	// spinCredit is how much of it may be used at once.
	spinCredit = 20 * time.Millisecond
	// spinMost is how long one wait may spin at most.
	spinMost = 100 * time.Microsecond
	// sleepsInTime is the share of sleeps that shall end before the instant that is waited for.
	sleepsInTime = 0.95
	// earlyStep is how fast the time that sleeps end before the instant follows the machine.
	earlyStep = time.Microsecond
)

// waiter waits for instants to within a few microseconds. A sleep ends late, by what the timer, the interrupt and the
// way out of the processor's own sleep take, which on one machine is much the same each time: the waiter learns the
// 95th percentile of it, sleeps until that much before the instant, and spins the rest. Spinning is bounded, per wait
// and as a share of time; without credit for it the waiter sleeps until the instant itself and is late by the sleep's
// excess.
type waiter struct {
	now   func() time.Duration // on the clock of the instants
	sleep func(time.Duration)

	early   time.Duration // how long before the instant the sleep is to end
	credit  time.Duration // time that may be spun away
	earned  time.Duration // until when credit was given
	resting bool          // no spinning until the credit is full again
}

func newWaiter(now func() time.Duration, sleep func(time.Duration)) *waiter {
	return &waiter{now: now, sleep: sleep, early: spinMost / 2, credit: spinCredit, earned: now()}
}

// until returns at the instant due, at once if it is past.
func (w *waiter) until(due time.Duration) {
	now := w.now()
	if due <= now {
		return
	}
	if now = w.nap(due, now); now >= due || w.resting {
		return
	}
	began := now
	for now < due {
		now = w.now()
	}
	if w.credit -= now - began; w.credit <= 0 {
		w.resting = true
	}
}

// nap sleeps towards due and returns the instant at which it woke.
func (w *waiter) nap(due, now time.Duration) time.Duration {
	w.credit = min(spinCredit, w.credit+time.Duration(spinShare*float64(now-w.earned)))
	w.earned = now
	if w.credit == spinCredit {
		w.resting = false
	}
	length := due - now
	if !w.resting {
		length -= w.early
	}
	if length <= 0 {
		return now
	}
	w.sleep(length)
	woke := w.now()
	// A step up after a sleep that took longer than early beyond its length, a smaller one down after the others, so
	// that in balance it is the asked share of sleeps that are in time.
	if woke-now-length > w.early {
		w.early += time.Duration(sleepsInTime * float64(earlyStep))
	} else {
		w.early -= time.Duration((1 - sleepsInTime) * float64(earlyStep))
	}
	w.early = min(max(w.early, 0), spinMost)
	return woke
}
