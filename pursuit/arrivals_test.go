package pursuit

import (
	"math"
	"testing"
)

// A queue that begins: the mean response time of the interval tells how much arrives only together with what arrived
// before.
func TestWhatArrivesAtAQueue(t *testing.T) {
	for _, c := range []struct {
		name     string
		before   []float64 // response times of the intervals before, s
		sec      float64   // of the interval, s
		finished float64   // in 3 s
		was      float64   // that arrived in an interval before
		low, up  float64
	}{
		{"nothing waits: what is finished", []float64{0.03, 0.03}, 0.031, 1000, 1050, 1000, 1000},
		{"a queue has begun and as much comes as before", []float64{0.03, 0.03}, 0.56, 600, 900, 900, 900},
		{"servers finish more than came before: more arrives", []float64{0.03, 0.03}, 0.56, 600, 500, 920, 935},
		{"fewer came before than the queue shows", []float64{0.03, 0.03}, 0.56, 600, 700, 720, 740},
		{"more came before than the queue shows", []float64{0.03, 0.03}, 0.56, 600, 2000, 920, 935},
		{"the queue goes on growing", []float64{0.03, 0.6}, 1.8, 600, 900, 999, 1001},
		{"the queue shrinks", []float64{0.03, 2.4}, 1.2, 600, 900, 425, 430},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q quiet
			for _, sec := range c.before {
				q.observe(seenClass{perSec: 1000.0 / 3, responseSec: sec, count: 1000}, 3)
			}
			q.observe(seenClass{perSec: c.finished / 3, responseSec: c.sec, count: c.finished}, 3)
			got, _ := q.arrived(c.finished, 3, c.was)
			if !(got >= c.low-1e-9 && got <= c.up+1e-9) || math.IsNaN(q.end) {
				t.Errorf("got %.1f requests, want %.0f to %.0f", got, c.low, c.up)
			}
		})
	}
}

// What is believed of a load while a queue hides it is forgotten with the queue.
func TestGuessesOfALoadEndWithTheQueue(t *testing.T) {
	t.Parallel()
	const seconds = 3.0
	for _, c := range []struct {
		name          string
		before        float64 // requests per interval that were counted, for a minute
		guesses       []float64
		after         []float64
		during, wants float64 // per s
	}{
		{"a guess that was too high", 1050, []float64{1240, 1200}, []float64{1047}, 406.7, 350},
		{"a load that rose with the queue", 1050, []float64{1500, 1480}, []float64{1500}, 496.7, 500},
		{"a load that nobody counted before", 0, []float64{1240}, []float64{1047}, 413.3, 349},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var a arrivals
			if c.before > 0 {
				for range 20 {
					a.observe(c.before, seconds, false)
				}
			}
			for _, n := range c.guesses {
				a.observe(n, seconds, true)
			}
			if got := a.perSec(); math.Abs(got-c.during) > 1 {
				t.Errorf("while it is there: got %.1f per s, want %.1f", got, c.during)
			}
			for _, n := range c.after {
				a.observe(n, seconds, false)
			}
			if got := a.perSec(); math.Abs(got-c.wants) > 1 {
				t.Errorf("after it: got %.1f per s, want %.1f", got, c.wants)
			}
		})
	}
}
