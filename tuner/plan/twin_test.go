package plan

import (
	"fmt"
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner/queueing"
)

// TestWaitsAreThoseOfTheTwin measures the mean wait at servers of 2, 4 and 8 slots behind a smooth round robin by
// capacity and compares it with the formula.
func TestWaitsAreThoseOfTheTwin(t *testing.T) {
	const seconds, service, scv = 300, 0.020, 0.25
	slots := []int{2, 4, 8}
	for _, load := range []float64{0.75, 0.85, 0.92} {
		t.Run(fmt.Sprintf("at %.0f %%", 100*load), func(t *testing.T) {
			sc := &deathstarbench.Scenario{Name: "waits", Duration: deathstarbench.Duration(seconds * time.Second),
				ControlInterval: deathstarbench.Duration(3 * time.Second),
				Upstreams: []deathstarbench.Upstream{{Name: "u", Workload: "compose-post",
					Method:  deathstarbench.RoundRobin,
					Servers: []string{"a", "b", "c"}, Weights: slots}},
				Loads: []deathstarbench.Traffic{{Workload: "compose-post", Arrival: "exp",
					Phases: []deathstarbench.Phase{{Rate: load * 14 / service}}}}}
			for i, n := range slots {
				sc.Servers = append(sc.Servers, deathstarbench.Server{Name: sc.Upstreams[0].Servers[i], Slots: n,
					ServiceCV: math.Sqrt(scv), QueueLimit: 100000,
					Service: map[string]deathstarbench.Duration{"compose-post": deathstarbench.Duration(service * 1e9)}})
			}
			run, err := sim.New(sc, sim.Options{Seed: 11})
			if err != nil {
				t.Fatal(err)
			}
			spent, done := make([]float64, len(slots)), make([]float64, len(slots))
			for !run.Done() {
				sample, err := run.Step()
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range sample.Groups[0].Peers {
					done[i] += float64(p.Requests)
					spent[i] += float64(p.ResponseMsec) / 1e3
				}
			}
			for i, n := range slots {
				rho := done[i] * service / seconds / float64(n)
				want := service * queueing.Wait(rho, float64(n), FlowTo(RoundRobin, float64(n)/14, scv))
				if got := spent[i]/done[i] - service; math.Abs(got-want) > 0.35*want+0.5e-3 {
					t.Errorf("server of %d slots: the wait is %.2f ms, the formula says %.2f ms, want it within 35 %% and half a millisecond", n, got*1e3, want*1e3)
				}
			}
		})
	}
}

// TestWaitsOfThreeClassesAreThoseOfTheTwin is the same for classes of different service times on the same servers.
func TestWaitsOfThreeClassesAreThoseOfTheTwin(t *testing.T) {
	const seconds = 300
	for _, load := range []float64{0.75, 0.85, 0.92} {
		t.Run(fmt.Sprintf("at %.0f %%", 100*load), func(t *testing.T) {
			sc, err := deathstarbench.Load("capacity-1-2-4")
			if err != nil {
				t.Fatal(err)
			}
			sc.Duration, sc.Faults = deathstarbench.Duration(seconds*time.Second), nil
			work, slots := 0.0, 0.0
			var weights []int
			for _, s := range sc.Servers {
				slots += float64(s.Slots)
				weights = append(weights, s.Slots)
			}
			for i := range sc.Loads {
				work += sc.Loads[i].Phases[0].Rate * sc.Servers[0].Service[sc.Loads[i].Workload].Std().Seconds()
			}
			for i := range sc.Loads {
				sc.Upstreams[i].Weights = weights
				sc.Loads[i].Phases = []deathstarbench.Phase{{Rate: sc.Loads[i].Phases[0].Rate * load * slots / work}}
			}
			run, err := sim.New(sc, sim.Options{Seed: 11})
			if err != nil {
				t.Fatal(err)
			}
			n := len(sc.Servers)
			spent, used, square, done := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
			for !run.Done() {
				sample, err := run.Step()
				if err != nil {
					t.Fatal(err)
				}
				for g, gs := range sample.Groups {
					for i, p := range gs.Peers {
						v, count := sc.Servers[i].Service[sc.Upstreams[g].Workload].Std().Seconds(), float64(p.Requests)
						done[i] += count
						spent[i] += float64(p.ResponseMsec) / 1e3
						used[i] += count * v
						square[i] += count * v * v * 1.25 // the servers' coefficient of variation is 0.5
					}
				}
			}
			for i, s := range sc.Servers {
				c := float64(s.Slots)
				mean, rho := used[i]/done[i], used[i]/seconds/c
				want := mean * queueing.Wait(rho, c, FlowTo(RoundRobin, c/slots, square[i]/done[i]/(mean*mean)-1))
				if got := (spent[i] - used[i]) / done[i]; math.Abs(got-want) > 0.35*want+0.5e-3 {
					t.Errorf("server of %v slots: the wait is %.2f ms, the formula says %.2f ms, want it within 35 %% and half a millisecond", c, got*1e3, want*1e3)
				}
			}
		})
	}
}
