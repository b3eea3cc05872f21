package loadgen

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The waiter is exact after all but a twentieth of the sleeps, whatever they take too long, and spins no more than it
// may.
func TestWaiterIsExactWithinItsCredit(t *testing.T) {
	for _, c := range []struct {
		what   string
		gap    time.Duration
		excess time.Duration // of a sleep, on average
		exact  float64       // share of waits that end within a microsecond of their instant, at least
	}{
		{"rare requests on a machine that wakes in 20 µs", 5 * time.Millisecond, 20 * time.Microsecond, 0.9},
		{"a thousand a second", time.Millisecond, 40 * time.Microsecond, 0.9},
		{"five thousand a second", 200 * time.Microsecond, 20 * time.Microsecond, 0.9},
		{"five thousand a second, sleeps that take longer than half the gap", 200 * time.Microsecond,
			110 * time.Microsecond, 0},
		{"gaps shorter than any sleep", 10 * time.Microsecond, 50 * time.Microsecond, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			var clock, slept time.Duration
			w := newWaiter(
				func() time.Duration { clock += 50 * time.Nanosecond; return clock },
				func(d time.Duration) {
					d += time.Duration(float64(c.excess) * (0.8 + 0.4*rng.Float64()))
					clock += d
					slept += d
				},
			)
			const waits = 50_000
			exact, began := 0, clock
			for i := range waits {
				due := began + time.Duration(i+1)*c.gap
				late := clock > due
				w.until(due)
				if clock < due {
					t.Fatalf("wait %d: ended %s early", i, due-clock)
				}
				if !late && clock-due < time.Microsecond {
					exact++
				}
			}
			if got := float64(exact) / waits; got < c.exact {
				t.Errorf("got %.3f of the waits exact, want at least %.2f", got, c.exact)
			}
			spun, passed := clock-began-slept, clock-began
			if limit := time.Duration(spinShare*float64(passed)) + spinCredit +
				waits*200*time.Nanosecond; spun > limit {
				t.Errorf("got %s of %s spun away, want at most %s", spun, passed, limit)
			}
		})
	}
}
