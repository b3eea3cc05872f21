package tuner_test

import (
	"math"
	"os"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/tuner/load"
)

// longTests asks for the long comparisons: each takes minutes and prints a table.
const longTests = "TRIMTAB_LONG_TESTS"

// steady counts the changes in an hour of steady load, after ten minutes in which the tuner converges, and returns the p99
// of all of it in ms.
func steady(t *testing.T, name, method string, seed uint64) (late int, p99 float64) {
	t.Helper()
	sc := scenario(t, name)
	sc.Duration, sc.Warmup = ms(70*60e3), ms(600e3)
	w := newWorld(t, sc, seed, method)
	run(t, w, tunerFor(t, sc, method, func(c *tuner.Config) { c.Regimes, c.Seed = load.RegimeConfig{}, seed }))
	checkBudget(t, w.changes)
	for _, at := range w.changes {
		if at > 10*time.Minute {
			late++
		}
	}
	return late, float64(sim.Sum(w.Totals()).Latency.Quantile(0.99)) / 1e6
}

// Of a load that stands still nothing is learned that is worth a reload every ten minutes, even where few requests tell
// what servers are.
func TestASteadyHour(t *testing.T) {
	const most = 6
	for _, name := range []string{"region", "low-rates"} {
		for _, method := range []string{"round_robin", "least_conn", "least_time"} {
			t.Run(method+"/"+name, func(t *testing.T) {
				if late, _ := steady(t, name, method, 1); late > most {
					t.Errorf("got %d changes in a steady hour, want at most %d", late, most)
				}
			})
		}
	}
}

// TestSteadyHours plays more of them: none under round robin and least_conn, and under least_time, whose weights act on
// moving averages, no more than six. -v prints a table.
func TestSteadyHours(t *testing.T) {
	if os.Getenv(longTests) == "" {
		t.Skip("90 simulated hours take some ten minutes: set " + longTests + "=1")
	}
	const seeds = 5
	for method, most := range map[string]int{"round_robin": 0, "least_conn": 0, "least_time": 6} {
		for _, name := range []string{"capacity-1-2-4", "capacity-1-2-4-85", "mixed-hardware", "distant", "region", "low-rates"} {
			t.Run(method+"/"+name, func(t *testing.T) {
				late, p99 := make([]int, seeds), 0.0
				for i := range late {
					n, v := steady(t, name, method, 1+uint64(i))
					if late[i] = n; n > most {
						t.Errorf("seed %d: %d changes in a steady hour, want at most %d", 1+i, n, most)
					}
					p99 += math.Log(v) / seeds
				}
				t.Logf("changes in the hour, by seed: %v; p99 %.1f ms", late, math.Exp(p99))
			})
		}
	}
}

// TestBurstsOfASteadyLoadChangeNothing plays hours in which chance alone once looked like a server that had become
// slower or a load that had turned.
func TestBurstsOfASteadyLoadChangeNothing(t *testing.T) {
	const converged = 10 * time.Minute
	for _, c := range []struct {
		name, world, method string
		seed                uint64
		minutes             float64
	}{
		{"near saturation a queue of three intervals", "capacity-1-2-4-85", "round_robin", 3, 20},
		{"near saturation, servers of unlike speeds", "mixed-hardware", "round_robin", 4, 23},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := scenario(t, c.world)
			sc.Duration = ms(c.minutes * 60e3)
			w := newWorld(t, sc, c.seed, c.method)
			run(t, w, tunerFor(t, sc, c.method, func(cfg *tuner.Config) {
				cfg.Regimes,
					cfg.Seed = load.RegimeConfig{}, c.seed
			}))
			for _, at := range w.changes {
				if at > converged {
					t.Errorf("%s, %s, seed %d changed weights at %v, want none after %v", c.world, c.method, c.seed,
						at, converged)
				}
			}
		})
	}
}

// TestSlowdownAfterSteadyMinutes slows a server down when nothing has changed for twenty minutes: it is still answered
// within intervals.
func TestSlowdownAfterSteadyMinutes(t *testing.T) {
	const steady = 20 * time.Minute
	for _, c := range []struct {
		name, world, method, server string
		factor                      float64
		within                      time.Duration
	}{
		{"the largest server at half its speed is overloaded", "capacity-1-2-4", "round_robin", "c", 2,
			6 * time.Second},
		{"the same at 85 % load", "capacity-1-2-4-85", "round_robin", "c", 2, 6 * time.Second},
		{"30 requests in an interval and no queue", "low-rates", "round_robin", "b", 3, 12 * time.Second},
		{"least connections have moved the requests already", "capacity-1-2-4", "least_conn", "c", 2, 21 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := scenario(t, c.world)
			sc.Duration = deathstarbench.Duration(steady + 30*time.Second)
			sc.Faults = []deathstarbench.Fault{{Server: c.server, Kind: deathstarbench.Slowdown, Factor: c.factor,
				At: deathstarbench.Duration(steady), Until: sc.Duration}}
			w := newWorld(t, sc, 1, c.method)
			run(t, w, tunerFor(t, sc, c.method, func(cfg *tuner.Config) {
				cfg.Regimes,
					cfg.Seed = load.RegimeConfig{}, 1
			}))
			answered := false
			for _, at := range w.changes {
				answered = answered || at > steady && at <= steady+c.within
			}
			if !answered {
				t.Errorf("%s, %s: changes at %v, want one within %v of the slowdown at %v", c.world, c.method,
					w.changes, c.within, steady)
			}
		})
	}
}

// TestNinetyPercentFromEqualWeights starts the capacities 1:2:4 at 90 % of what they can do with equal weights, that
// ask more than twice its capacity of the smallest server: the backlog of the start is to be worked off, and no later
// one is to grow.
func TestNinetyPercentFromEqualWeights(t *testing.T) {
	seeds := uint64(4)
	if os.Getenv(longTests) != "" {
		seeds = 20
	}
	for _, method := range []string{"round_robin", "least_conn"} {
		t.Run(method, func(t *testing.T) {
			var all []float64
			log := 0.0
			for seed := range seeds {
				sc := heavy(t, 0.90)
				w := newWorld(t, sc, 1+seed, method)
				run(t, w, tunerFor(t, sc, method, nil))
				p99 := float64(sim.Sum(w.Totals()).Latency.Quantile(0.99)) / 1e6
				all = append(all, math.Round(p99))
				log += math.Log(p99) / float64(seeds)
			}
			t.Logf("p99 ms by seed: %v, geometric mean %.0f", all, math.Exp(log))
			if got := math.Exp(log); got > 400 {
				t.Errorf("p99 %.0f ms, want at most 400", got)
			}
		})
	}
}

// heavy is capacity-1-2-4 at another load.
func heavy(t *testing.T, load float64) *deathstarbench.Scenario {
	t.Helper()
	const of = 0.70 // load of the scenario
	sc := scenario(t, "capacity-1-2-4")
	for i := range sc.Loads {
		for j := range sc.Loads[i].Phases {
			sc.Loads[i].Phases[j].Rate *= load / of
		}
	}
	return sc
}
