package tuner

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTrendIsToldFromNoise(t *testing.T) {
	for _, c := range []struct {
		about         string
		drift, spread float64 // per interval; standard deviation between intervals
		from, to      int     // intervals in which it must be noticed; 0: never
	}{
		{"a speed that holds, 5 % between intervals", 0, 0.05, 0, 0},
		{"a speed that holds, 20 % between intervals", 0, 0.20, 0, 0},
		{"1.5 % slower with every interval, 5 % between intervals", 0.015, 0.05, 2, 25},
		{"4 % slower with every interval, 10 % between intervals", 0.04, 0.10, 2, 20},
		{"1.5 % faster with every interval, 5 % between intervals", -0.015, 0.05, 2, 25},
	} {
		alarms := 0
		for seed := range uint64(20) {
			w, s := newWaits(), oneStation()
			rng := rand.New(rand.NewPCG(seed, 5))
			latency := func() float64 { return math.Log(0.020) + c.spread*rng.NormFloat64() }
			at := func(log float64) seen {
				return seen{rate: []float64{100}, done: []float64{100}, latency: []float64{math.Exp(log)}, count: []float64{300}, arrivals: 1}
			}
			for range 20 {
				live(s, w, at(latency()))
			}
			noticed := 0
			for i := 1; i <= 200 && noticed == 0; i++ {
				o := at(latency() + c.drift*float64(i))
				if live(s, w, o); s.changed {
					noticed = i
				}
			}
			switch {
			case c.to == 0 && noticed > 0:
				alarms++
			case c.to > 0 && (noticed < c.from || noticed > c.to):
				t.Errorf("%s, seed %d: noticed in interval %d, want %d to %d", c.about, seed, noticed, c.from, c.to)
			case noticed > 0:
				if got, want := math.Log(s.serviceOf(0)/0.020), c.drift*float64(noticed); math.Abs(got-want) > math.Abs(want)*0.6+0.05 {
					t.Errorf("%s, seed %d: after %d intervals the log change of the service time is %.2f, want about %.2f", c.about, seed, noticed, got, want)
				}
			}
		}
		if alarms > 1 {
			t.Errorf("%s: a change was noticed in %d of 20 runs of 200 intervals, want at most 1", c.about, alarms)
		}
	}
}

func TestSlotsAreRememberedThroughSteadyHours(t *testing.T) {
	w, s := newWaits(), oneStation()
	rng := rand.New(rand.NewPCG(1, 2))
	for epoch, use := range []float64{0.4, 0.7, 0.93} { // 2 slots of 20 ms show themselves by how waiting grows
		observeAt(s, w, 2, 0.020, use*2/0.020, 40, epoch, rng)
	}
	observeAt(s, w, 2, 0.020, 0.6*2/0.020, 3600, 3, rng)
	many := 0.0
	for h, c := range slotGrid {
		if c > 4 {
			many += s.fit[h].posterior
		}
	}
	if many > 0.25 {
		t.Errorf("2 slots, seen at three loads and then at one for three hours: probability of more than 4 slots %.2f, want at most 0.25", many)
	}
}
