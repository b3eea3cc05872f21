package sim_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
)

// levelled is one server of 20 ms with so many slots at a load per second.
func levelled(slots int, rate float64) *deathstarbench.Scenario {
	return &deathstarbench.Scenario{Name: "levels", Duration: deathstarbench.Duration(10 * time.Minute),
		ControlInterval: deathstarbench.Duration(10 * time.Second),
		Servers: []deathstarbench.Server{{Name: "a", Slots: slots, ServiceCV: 0.2, QueueLimit: 1000,
			Service: map[string]deathstarbench.Duration{"x": deathstarbench.Duration(20 * time.Millisecond)}}},
		Upstreams: []deathstarbench.Upstream{{Name: "u", Workload: "x", Servers: []string{"a"}}},
		Loads: []deathstarbench.Traffic{{Workload: "x", Arrival: "exp",
			Phases: []deathstarbench.Phase{{Rate: rate}}}},
	}
}

func TestAdmissionRefusesItsShare(t *testing.T) {
	for _, share := range []float64{0, 0.25, 0.5, 1} {
		t.Run(fmt.Sprintf("%.0f %%", 100*share), func(t *testing.T) {
			run, err := sim.New(levelled(8, 100), sim.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := run.SetBlocked(map[string]float64{"u": share}); err != nil {
				t.Fatal(err)
			}
			refused, carried := 0.0, 0.0
			for !run.Done() {
				s, err := run.Step()
				if err != nil {
					t.Fatal(err)
				}
				refused += float64(s.Groups[0].Refused)
				carried += float64(s.Groups[0].Requests())
			}
			if got := refused / (refused + carried); math.Abs(got-share) > 0.01 {
				t.Errorf("%.3f of the requests were refused, want %v", got, share)
			}
			total := run.Finish()[0]
			if total.Errors != 0 || float64(total.Refused) != refused {
				t.Errorf("%d errors and %d refused at the clients, want none and %v: what is refused is no failure",
					total.Errors, total.Refused, refused)
			}
		})
	}
}

// Requests that a share refuses are refused by a larger one too, so that shares can be compared on the same requests.
func TestLargerSharesRefuseTheSameAndMore(t *testing.T) {
	carried := func(share float64) (n uint64) {
		run, err := sim.New(levelled(8, 100), sim.Options{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := run.SetBlocked(map[string]float64{"u": share}); err != nil {
			t.Fatal(err)
		}
		for !run.Done() {
			if _, err := run.Step(); err != nil {
				t.Fatal(err)
			}
		}
		return run.Requests() - run.Totals()[0].Refused
	}
	last := carried(0)
	for _, share := range []float64{0.1, 0.2, 0.21, 0.5, 0.9} {
		now := carried(share)
		if now > last {
			t.Errorf("%v refused: %d carried, more than the %d of a smaller share", share, now, last)
		}
		last = now
	}
}

func TestSlotsChangeAtOnce(t *testing.T) {
	run, err := sim.New(levelled(1, 120), sim.Options{Seed: 1}) // 240 % of one slot
	if err != nil {
		t.Fatal(err)
	}
	step := func() float64 {
		s, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		return s.Groups[0].Peers[0].MeanResponse().Seconds()
	}
	step()
	if late := step(); late < 1 {
		t.Fatalf("one slot at 240 %%: a mean of %.3f s, want seconds", late)
	}
	if err := run.SetSlots(map[string]int{"a": 8}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		step()
	}
	if quick := step(); quick > 0.03 {
		t.Errorf("eight slots: a mean of %.3f s, want about 0.02", quick)
	}
	if got := run.Slots()["a"]; got != 8 {
		t.Errorf("got %d slots, want 8", got)
	}
}

func TestLevelsThatMakeNoSense(t *testing.T) {
	run, err := sim.New(levelled(1, 10), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"an upstream that is not there", run.SetBlocked(map[string]float64{"v": 0.1}), `no upstream "v"`},
		{"more than everything", run.SetBlocked(map[string]float64{"u": 1.1}), "0 to 1"},
		{"no number", run.SetBlocked(map[string]float64{"u": math.NaN()}), "0 to 1"},
		{"a server that is not there", run.SetSlots(map[string]int{"b": 1}), `no server "b"`},
		{"no slot", run.SetSlots(map[string]int{"a": 0}), "at least 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
				t.Errorf("got %v, want %q", c.err, c.want)
			}
		})
	}
	if run.Blocked()["u"] != 0 || run.Slots()["a"] != 1 {
		t.Errorf("something was set: %v, %v", run.Blocked(), run.Slots())
	}
}
