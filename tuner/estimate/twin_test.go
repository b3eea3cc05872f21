package estimate_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
	"trimtab/tuner/plan"
)

const service = 0.020 // s

// twin is a group of simulated servers of 20 ms and what is believed of them.
type twin struct {
	run      *sim.Sim
	par      params.Params
	method   plan.Method
	members  []estimate.Member
	beliefs  []estimate.Belief
	interval time.Duration
	share    []float64
}

// ramp is a load that shows what servers are: how waiting grows tells slots from speed.
var ramp = []float64{0.4, 0.7, 0.9, 0.6}

// newTwin returns servers of so many slots with weights by slots, of which no operator said anything. Each load, a
// share of all their capacity, is there for so long.
func newTwin(t *testing.T, m plan.Method, slots []int, loads []float64, each, interval time.Duration, faults ...deathstarbench.Fault) *twin {
	t.Helper()
	sc := &deathstarbench.Scenario{Name: "twin", Duration: deathstarbench.Duration(each * time.Duration(len(loads))),
		ControlInterval: deathstarbench.Duration(interval), Faults: faults,
		Upstreams: []deathstarbench.Upstream{{Name: "u", Workload: "compose-post", Method: string(m)}}}
	all := 0
	for i, n := range slots {
		name := fmt.Sprintf("s%d", i)
		sc.Servers = append(sc.Servers, deathstarbench.Server{Name: name, Slots: n, ServiceCV: 0.5, QueueLimit: 100000,
			Service: map[string]deathstarbench.Duration{"compose-post": deathstarbench.Duration(service * 1e9)}})
		sc.Upstreams[0].Servers = append(sc.Upstreams[0].Servers, name)
		sc.Upstreams[0].Weights = append(sc.Upstreams[0].Weights, n)
		all += n
	}
	load := deathstarbench.Traffic{Workload: "compose-post", Arrival: "exp"}
	for i, use := range loads {
		load.Phases = append(load.Phases, deathstarbench.Phase{At: deathstarbench.Duration(each * time.Duration(i)),
			Rate: use * float64(all) / service})
	}
	sc.Loads = []deathstarbench.Traffic{load}
	run, err := sim.New(sc, sim.Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	w := &twin{run: run, par: params.Default(), method: m, interval: interval}
	for _, n := range slots {
		w.members = append(w.members, estimate.Member{Server: estimate.NewServer(1), Group: []int{0}})
		w.share = append(w.share, float64(n)/float64(all))
	}
	return w
}

// step plays an interval and learns it.
func (w *twin) step(t *testing.T) {
	t.Helper()
	s, err := w.run.Step()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range s.Groups[0].Peers {
		n, r := float64(p.Requests), estimate.Reading{}
		if n > 0 {
			r = estimate.Reading{Count: n, DonePerSec: n / w.interval.Seconds(),
				ResponseSec: float64(p.ResponseMsec) / 1e3 / n}
		}
		w.members[i].Observe(&w.par, w.interval.Seconds(), 1, plan.FlowTo(w.method, w.share[i], 0.25),
			[]estimate.Reading{r})
	}
	w.beliefs = estimate.Believe(&w.par, w.members, 1)
}

// off is by how much the capacity that is believed of a server is from the truth, relatively.
func (w *twin) off(server, slots int) float64 {
	return w.beliefs[server].Capacity(0)/(float64(slots)/service) - 1
}

func TestCapacityIsFound(t *testing.T) {
	for _, c := range []struct {
		name     string
		slots    []int
		interval time.Duration
		each     time.Duration // of the loads
	}{
		{"three alike", []int{4, 4, 4}, 3 * time.Second, time.Minute},
		{"of 1:2:4", []int{2, 4, 8}, 3 * time.Second, time.Minute},
		{"one large", []int{4, 4, 32}, 3 * time.Second, time.Minute},
		{"of 1:2:4 in half seconds", []int{2, 4, 8}, 500 * time.Millisecond, time.Minute},
		{"of 1:2:4 in half minutes", []int{2, 4, 8}, 30 * time.Second, 5 * time.Minute},
	} {
		for _, m := range []plan.Method{plan.RoundRobin, plan.LeastConn} {
			t.Run(c.name+", "+string(m), func(t *testing.T) {
				t.Parallel()
				w := newTwin(t, m, c.slots, ramp, c.each, c.interval)
				for !w.run.Done() {
					w.step(t)
				}
				for i, n := range c.slots {
					if off := w.off(i, n); math.Abs(off) > 0.1 {
						t.Errorf("server of %d slots: capacity %+.0f %% off with %.1f slots, want at most 10 %%", n,
							100*off, w.beliefs[i].MeanSlots())
					}
				}
			})
		}
	}
}

func TestSaturationShowsCapacityAtOnce(t *testing.T) {
	w := newTwin(t, plan.RoundRobin, []int{4, 4}, []float64{1.5}, 30*time.Second, 3*time.Second)
	w.step(t)
	w.step(t)
	for i := range w.members {
		if off := w.off(i, 4); math.Abs(off) > 0.1 {
			t.Errorf("server %d, half as much again as it can serve, two intervals: capacity %+.0f %% off, want at most 10 %%", i, 100*off)
		}
	}
}

// A pause of 2 s, such as a collection of garbage, is not a slower server.
func TestAPauseIsNotASlowServer(t *testing.T) {
	for _, interval := range []time.Duration{500 * time.Millisecond, 3 * time.Second} {
		for _, m := range []plan.Method{plan.RoundRobin, plan.LeastConn} {
			t.Run(fmt.Sprintf("%s, intervals of %v", m, interval), func(t *testing.T) {
				t.Parallel()
				each := max(time.Minute, 10*interval)
				at := 4*each + 2*interval
				w := newTwin(t, m, []int{4, 4, 4}, append(slices.Clone(ramp), 0.6), each, interval,
					deathstarbench.Fault{Server: "s0", Kind: deathstarbench.Pause, At: deathstarbench.Duration(at),
						Until: deathstarbench.Duration(at + 2*time.Second)})
				before, least, most := 0.0, math.Inf(1), 0.0
				for !w.run.Done() {
					w.step(t)
					if c := w.beliefs[0].Capacity(0); w.run.Now() <= at {
						before = c
					} else {
						least, most = math.Min(least, c), math.Max(most, c)
					}
				}
				if least < 0.95*before || most > 1.05*before {
					t.Errorf("capacity %.0f/s before a pause, %.0f to %.0f/s after it, want it within 5 %%", before,
						least, most)
				}
			})
		}
	}
}

// Once it is known that a server has changed, it is known what it is now.
func TestTheIntervalThatGivesAChangeAwaySaysWhatTheServerIs(t *testing.T) {
	at := 4 * time.Minute
	w := newTwin(t, plan.RoundRobin, []int{4, 4, 4}, append(slices.Clone(ramp), 0.5), time.Minute, 3*time.Second,
		deathstarbench.Fault{Server: "s0", Kind: deathstarbench.Slowdown, Factor: 3, At: deathstarbench.Duration(at),
			Until: deathstarbench.Duration(time.Hour)})
	for w.run.Now() < at {
		w.step(t)
	}
	before := w.beliefs[0].Capacity(0)
	for !w.members[0].Changed() {
		if w.step(t); w.run.Done() {
			t.Fatal("a third of the speed: got no change within a minute")
		}
	}
	if got := w.beliefs[0].Capacity(0) / before; got < 0.25 || got > 0.5 {
		t.Errorf("a third of the speed, just found: capacity is believed to be %.2f of before, want about a third", got)
	}
}

func TestASlowdownIsFound(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		within   int // intervals
	}{
		{500 * time.Millisecond, 24}, {3 * time.Second, 4}, {30 * time.Second, 2},
	} {
		for _, m := range []plan.Method{plan.RoundRobin, plan.LeastConn} {
			t.Run(fmt.Sprintf("%s, intervals of %v", m, c.interval), func(t *testing.T) {
				t.Parallel()
				each := max(time.Minute, 5*c.interval)
				at := 4 * each
				end := at + time.Duration(c.within)*c.interval
				w := newTwin(t, m, []int{4, 4, 4}, append(slices.Clone(ramp), 0.45), each, c.interval,
					deathstarbench.Fault{Server: "s0", Kind: deathstarbench.Slowdown, Factor: 2,
						At: deathstarbench.Duration(at), Until: deathstarbench.Duration(end + time.Hour)})
				before := 0.0
				for w.run.Now() < end {
					if w.step(t); w.run.Now() <= at {
						before = w.beliefs[0].Capacity(0)
					}
				}
				if got := w.beliefs[0].Capacity(0) / before; got < 0.4 || got > 0.65 {
					t.Errorf("half as fast for %d intervals: capacity is believed to be %.2f of before, want about half", c.within, got)
				}
				for i := range 2 {
					if got := w.beliefs[i+1].Capacity(0) / before; got < 0.8 || got > 1.25 {
						t.Errorf("server %d did not change: capacity is believed to be %.2f of before", i+1, got)
					}
				}
			})
		}
	}
}
