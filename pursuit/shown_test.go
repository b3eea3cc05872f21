package pursuit

import (
	"math"
	"testing"

	"trimtab/tuner/queueing"
)

// A server whose requests take 30 ms each is followed interval by interval, 3 s each.
func TestWaitsSayHowManySlotsThereAre(t *testing.T) {
	type interval struct {
		perSec, waitMS, held float64
	}
	for _, c := range []struct {
		name      string
		intervals []interval
		full      bool
		low, high float64 // what is then possible: the least lies within, and no less is the most
		slower    bool    // in the last one
	}{
		{"nothing waits at 167 per second: five slots are busy, and more are there", []interval{{167, 0.5, 0}}, false,
			6, 9, false},
		{"67 of 175 per second are served while 300 wait: two slots", []interval{{67, 913, 300}}, true, 2, 2, false},
		{"as its queue ends it serves less than it could: still two", []interval{{67, 913, 300}, {67, 2720, 120},
			{50, 2600, 0}}, true, 2, 2, false},
		{"47 per second wait 15 ms: that is what two slots do", []interval{{67, 913, 300}, {67, 2720, 120},
			{50, 2600, 0}, {47, 30, 0}, {47, 15, 0}, {47, 15, 0}}, true, 2, 2, false},
		{"60 per second do not wait any more for 18 s: there are more again", []interval{{67, 913, 300}, {67, 2720, 120},
			{50, 2600, 0}, {47, 15, 0}, {60, 0, 0}, {60, 0, 0}, {60, 0, 0}, {60, 0, 0}, {60, 0, 0},
			{60, 0, 0}}, true, 3, 4, false},
		{"half of the load, and each takes 45 ms longer still: that is no wait but a slower server", []interval{
			{105, 583, 208}, {68, 1312, 0}, {12, 45, 0}, {12, 44, 0}, {12, 45, 0}}, true, 1, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var is shown
			slower := false
			for _, i := range c.intervals {
				is, slower = is.observe(waiting{perSec: i.perSec, count: 3 * i.perSec, busy: 0.03 * i.perSec,
					waitSec: i.waitMS / 1e3, held: i.held, flow: queueing.Flow{Arrivals: 0.5, Service: 0.1}})
			}
			if is.full != c.full || slower != c.slower {
				t.Errorf("full %t, slower %t, want %t, %t", is.full, slower, c.full, c.slower)
			}
			if low := math.Round(is.low); low < c.low || low > c.high || is.high < is.low {
				t.Errorf("got %.1f to %.1f slots, want at least %.0f to %.0f", is.low, is.high, c.low, c.high)
			}
		})
	}
}
