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
