package tuner_test

import (
	"math"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/rival"
)

// mixed makes a scenario of the three workloads on servers of the given slots and speeds.
func mixed(name string, slots []int, speeds []float64, load float64, duration time.Duration) *deathstarbench.Scenario {
	base := servers(slots, speeds, 0, duration)
	base.Name, base.Upstreams, base.Loads = name, nil, nil
	capacity := 0.0
	for i, n := range slots {
		capacity += float64(n) * speeds[i]
	}
	const meanWork = 0.1*0.040 + 0.6*0.015 + 0.3*0.025 // s of a slot per request of the mix
	for _, c := range []struct {
		group, workload string
		share, service  float64
	}{{"compose_backend", "compose-post", 0.1, 40}, {"home_read_backend", "read-home-timeline", 0.6,
		15}, {"user_read_backend", "read-user-timeline", 0.3, 25}} {
		u := deathstarbench.Upstream{Name: c.group, Workload: c.workload, Deadline: ms(3 * c.service)}
		for i := range base.Servers {
			base.Servers[i].Service[c.workload] = ms(c.service / speeds[i])
			u.Servers = append(u.Servers, base.Servers[i].Name)
			u.Weights = append(u.Weights, 1)
		}
		base.Upstreams = append(base.Upstreams, u)
		base.Loads = append(base.Loads, deathstarbench.Traffic{Workload: c.workload, Arrival: "exp",
			Phases: []deathstarbench.Phase{{Rate: load * capacity / meanWork * c.share}}})
	}
	return base
}

// heldOut are worlds that no constant of the tuner was chosen by.
func heldOut() []*deathstarbench.Scenario {
	zipf := mixed("zipf arrivals, 60 %", []int{4, 6, 10}, []float64{1, 1.5, 0.8}, 0.6, 2*time.Minute)
	for i := range zipf.Loads {
		zipf.Loads[i].Arrival = "zipf"
	}
	steps := mixed("load 40 and 80 %, in steps", []int{3, 5, 9}, []float64{1, 1.4, 0.9}, 0.4, 4*time.Minute)
	for i := range steps.Loads {
		r := steps.Loads[i].Phases[0].Rate
		steps.Loads[i].Phases = append(steps.Loads[i].Phases, deathstarbench.Phase{At: ms(70e3), Rate: 2 * r},
			deathstarbench.Phase{At: ms(130e3), Rate: r}, deathstarbench.Phase{At: ms(190e3), Rate: 2 * r})
	}
	fault := mixed("capacity fault", []int{6, 6, 6, 6}, []float64{1, 1, 1, 1}, 0.55, 3*time.Minute)
	fault.Faults = []deathstarbench.Fault{{Server: "s01", Kind: deathstarbench.Capacity, Slots: 2, At: ms(60e3),
		Until: ms(110e3)}}
	return []*deathstarbench.Scenario{
		mixed("five servers, 65 %", []int{3, 3, 5, 9, 12}, []float64{1.3, 0.8, 1, 1.6, 0.5}, 0.65, 2*time.Minute),
		mixed("seven servers, 60 %", []int{2, 2, 4, 4, 6, 6, 16}, []float64{1, 2, 1, 0.6, 1, 1.5, 0.9}, 0.6,
			2*time.Minute),
		named("two servers, one class, 75 %", servers([]int{3, 10}, []float64{1, 1.2}, 0.75, 2*time.Minute)),
		named("five servers, one class, 80 %", servers([]int{3, 3, 5, 9, 12}, []float64{1.3, 0.8, 1, 1.6, 0.5}, 0.8,
			2*time.Minute)),
		zipf, steps, fault,
	}
}

func named(name string, sc *deathstarbench.Scenario) *deathstarbench.Scenario {
	sc.Name = name
	return sc
}

// TestHeldOutWorlds compares policies on worlds that nothing was tuned to; -v prints the table.
func TestHeldOutWorlds(t *testing.T) {
	const seeds = 2
	equal := func() (control.Policy, error) { return rival.NewEqual(), nil }
	l3 := func() (control.Policy, error) { return rival.NewL3(rival.L3Config{}) } // knows no budget
	for _, c := range []struct {
		name, method string
		rival        func() (control.Policy, error)
		most         float64 // of the rival's p99
	}{
		{"tuned least connections against plain ones", "least_conn", equal, 0.85},
		{"tuned round robin against l3", "round_robin", l3, 0.6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sum := 0.0
			for _, sc := range heldOut() {
				own, other := 0.0, 0.0 // logarithms of p99 in ms
				for seed := range uint64(seeds) {
					w := newWorld(t, sc, 101+seed, c.method)
					run(t, w, tunerFor(t, sc, c.method, nil))
					checkBudget(t, w.changes)
					own += math.Log(float64(sim.Sum(w.Totals()).Latency.Quantile(0.99))/1e6) / seeds
					p, err := c.rival()
					if err != nil {
						t.Fatal(err)
					}
					w = newWorld(t, sc, 101+seed, c.method)
					run(t, w, p)
					other += math.Log(float64(sim.Sum(w.Totals()).Latency.Quantile(0.99))/1e6) / seeds
				}
				t.Logf("%-30s p99 ms: rival %8.1f, tuned %8.1f", sc.Name, math.Exp(other), math.Exp(own))
				sum += own - other
			}
			if got := math.Exp(sum / float64(len(heldOut()))); got > c.most {
				t.Errorf("got %.3f times the p99 of the rival, want at most %v", got, c.most)
			}
		})
	}
}
