package loadgen

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/loadgen/arrival"
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
		{"one after the other, with a pause", []*burst{burstOf(0, time.Second), burstOf(2*time.Second, time.Second)},
			1},
		{"the second is made ready while the first ends", []*burst{burstOf(0, time.Second),
			burstOf(time.Second, time.Second)}, 2},
		{"three begin together, a fourth comes later", []*burst{
			burstOf(0, time.Second), burstOf(0, 2*time.Second), burstOf(0, 3*time.Second),
			burstOf(2500*time.Millisecond, time.Second)}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mostAtOnce(tt.bursts); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A sleeping pacer holds a processor of the runtime: with as many pacers as processors nobody would read answers.
func TestPacersLeaveProcessorsToTheAnswers(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	bursts := before + 1
	var during atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) { during.Store(int64(runtime.GOMAXPROCS(0))) })
	var cfg Config
	for range bursts {
		cfg.Workloads = append(cfg.Workloads, Workload{
			Name: "w", Targeter: vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url}),
			Bursts: []Burst{{Arrival: arrival.Spec{Kind: arrival.Fixed}, Rate: arrival.Constant(50),
				Duration: 100 * time.Millisecond, Seed: 1}},
		})
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := int(during.Load())-bursts, before-before/2; got != want {
		t.Errorf("%d bursts leave %d processors to everything else, want %d", bursts, got, want)
	}
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("afterwards there are %d processors, want %d", got, before)
	}
}
