package queueing

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// erlangWait is the exact mean waiting time of M/M/c in units of the service time: Erlang's C over c(1−ρ).
func erlangWait(rho float64, c int) float64 {
	blocked := 1.0 // Erlang's B by its recursion
	for k := 1; k <= c; k++ {
		a := rho * float64(c) * blocked
		blocked = a / (float64(k) + a)
	}
	waits := blocked / (1 - rho*(1-blocked))
	return waits / (float64(c) * (1 - rho))
}

func TestWaitAgainstExactQueues(t *testing.T) {
	poisson, constant := Flow{1, 1}, Flow{1, 0}
	for _, c := range []struct {
		name  string
		slots int
		flow  Flow
		exact func(rho float64) float64
		tol   float64 // relative, beside a sixth of it in service times: light loads wait less than Sakasegawa says
	}{
		{"M/M/1 is exact", 1, poisson, func(rho float64) float64 { return rho / (1 - rho) }, 0},
		{"M/D/1 is exact: half of M/M/1", 1, constant, func(rho float64) float64 { return rho / (1 - rho) / 2 }, 0},
		{"M/M/2", 2, poisson, func(rho float64) float64 { return erlangWait(rho, 2) }, 0.12},
		{"M/M/8", 8, poisson, func(rho float64) float64 { return erlangWait(rho, 8) }, 0.12},
		{"M/M/64", 64, poisson, func(rho float64) float64 { return erlangWait(rho, 64) }, 0.12},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rho := range []float64{0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99} {
				got, want := Wait(rho, float64(c.slots), c.flow), c.exact(rho)
				if math.Abs(got-want) > c.tol*(want+1.0/6)+1e-12 {
					t.Errorf("at %v: got %.4f service times, want %.4f within %.0f %%", rho, got, want, 100*c.tol)
				}
			}
		})
	}
}

func TestWaitHasLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		rho  float64
		want float64
	}{
		{"nothing waits without load", 0, 0},
		{"nothing waits without a number", math.NaN(), 0},
		{"nothing waits at a negative load", -1, 0},
		{"a full server has no steady state", 1, math.Inf(1)},
		{"nor has one that is asked too much", 3, math.Inf(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Wait(c.rho, 4, Flow{1, 1}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestRegularFlowsWaitLess(t *testing.T) {
	for _, c := range Slots {
		for _, rho := range []float64{0.3, 0.6, 0.9} {
			t.Run(fmt.Sprintf("%v slots at %v", c, rho), func(t *testing.T) {
				poisson, split, calm := Wait(rho, c, Flow{1, 0.4}), Wait(rho, c, Flow{0.1, 0.4}), Wait(rho, c,
					Flow{0, 0})
				if split >= poisson {
					t.Errorf("a tenth of a stream waits %v, want less than the %v of a Poisson stream", split, poisson)
				}
				if calm != 0 {
					t.Errorf("a clockwork waits %v, want 0", calm)
				}
			})
		}
	}
}

var flows = rapid.Custom(func(t *rapid.T) Flow {
	return Flow{Arrivals: rapid.Float64Range(0, 2).Draw(t, "arrivals"),
		Service: rapid.Float64Range(0, 8).Draw(t, "service")}
})

// inside is the inverse of Busy: how many requests a server of c slots holds at utilisation rho; +Inf at full use and
// beyond.
func inside(rho, c float64, v Flow) float64 {
	if !(rho > 0) {
		return 0
	}
	return c * rho * (1 + Wait(rho, c, v))
}

func TestBusyIsTheInverseOfInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, v := rapid.SampledFrom(Slots[:]).Draw(t, "slots"), flows.Draw(t, "flow")
		rho := rapid.Float64Range(0.001, 0.98).Draw(t, "rho")
		if got := Busy(inside(rho, c, v), c, v) / c; math.Abs(got-rho) > 2e-4 {
			t.Fatalf("%v slots at a utilisation of %v: got %v back", c, rho, got)
		}
	})
}

func TestMoreInsideIsMoreBusy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, v := rapid.SampledFrom(Slots[:]).Draw(t, "slots"), flows.Draw(t, "flow")
		inside := rapid.Float64Range(0, 1e6).Draw(t, "inside")
		more := inside * rapid.Float64Range(1, 10).Draw(t, "times")
		a, b := Busy(inside, c, v), Busy(more, c, v)
		if !(a >= 0 && a <= c && a <= inside*(1+1e-3) && b >= a) {
			t.Fatalf("%v slots: %v busy of %v inside and %v of %v, want at most all, and no fewer", c, a, inside, b,
				more)
		}
	})
}

func TestBusyAtTheLimits(t *testing.T) {
	for _, c := range []struct {
		name             string
		inside, low, top float64
	}{
		{"nobody inside", 0, 0, 0},
		{"no number inside", math.NaN(), 0, 0},
		{"a hundredth of a request: it is served", 0.01, 0.0099, 0.01},
		{"a million: all four slots are busy", 1e6, 3.999, 4},
		{"without end", math.Inf(1), 3.999, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Busy(c.inside, 4, Flow{1, 1}); got < c.low || got > c.top {
				t.Errorf("got %v busy, want %v to %v", got, c.low, c.top)
			}
		})
	}
}

func TestPlannedWaits(t *testing.T) {
	const service, horizon = 0.02, 20.0
	for _, c := range Slots {
		t.Run(fmt.Sprintf("%v slots", c), func(t *testing.T) {
			v, last := Flow{1, 0.4}, -1.0
			for rho := 0.05; rho < 3; rho += 0.05 {
				wait, slope := Planned(rho, c, service, v, horizon)
				if !(wait >= last) || math.IsInf(wait, 0) || !(slope >= 0) {
					t.Fatalf("at %v: got %v s with slope %v after %v s, want it finite and rising", rho, wait,
						slope, last)
				}
				last = wait
				next, _ := Planned(rho+1e-4, c, service, v, horizon)
				if d := (next - wait) / 1e-4; math.Abs(d-slope) > 0.03*d+1e-6 {
					t.Errorf("at %v: slope got %v, want %v", rho, slope, d)
				}
			}
			full, _ := Planned(NearFull, c, service, v, horizon)
			over, _ := Planned(NearFull+0.1, c, service, v, horizon)
			if grown := over - full; grown < 0.1*horizon/2 {
				t.Errorf("a tenth too much for %v s: %v s more on average, want at least the %v of a queue that grows", horizon, grown, 0.1*horizon/2)
			}
		})
	}
}
