package loadgen

import (
	"runtime"
	"testing"
	"time"
)

func TestBurstsAtOnce(t *testing.T) {
	burstOf := func(start, duration time.Duration) *burst {
		return &burst{pacer: &pacer{start: start, duration: duration, grace: 10 * time.Millisecond}}
	}
	tests := []struct {
		name   string
		bursts []*burst
		want   int
	}{
		{"none", nil, 0},
		{"one", []*burst{burstOf(0, time.Second)}, 1},
		{"one after the other, with a pause", []*burst{burstOf(0, time.Second), burstOf(2*time.Second, time.Second)}, 1},
		{"the second is made ready while the first ends", []*burst{burstOf(0, time.Second), burstOf(time.Second, time.Second)}, 2},
		{"three begin together, a fourth comes later", []*burst{
			burstOf(0, time.Second), burstOf(0, 2*time.Second), burstOf(0, 3*time.Second), burstOf(2500*time.Millisecond, time.Second)}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mostAtOnce(tt.bursts); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestProcessorsAreLentAndTakenBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	restore := addProcessors(before + 3)
	if got, want := runtime.GOMAXPROCS(0), before+before+3-before/2; got != want {
		t.Errorf("with %d pacers: got %d processors, want %d", before+3, got, want)
	}
	restore()
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("afterwards: got %d processors, want %d", got, before)
	}
}
