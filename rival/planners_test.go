package rival

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/weights"
)

func TestKnapsackIsThatOfBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "takers")
		units := rapid.IntRange(1, 9).Draw(t, "units")
		costs, most := make([][]float64, n), make([]int, n)
		for i := range n {
			most[i] = rapid.IntRange(0, units).Draw(t, "most")
			costs[i] = rapid.SliceOfN(rapid.Float64Range(0, 10), units+1, units+1).Draw(t, "cost")
		}
		cost := func(i, u int) float64 { return costs[i][u] }
		got := knapsack(units, most, cost)
		least := math.Inf(1)
		var try func(i, left int, sum float64)
		try = func(i, left int, sum float64) {
			if i == n {
				if left == 0 {
					least = min(least, sum)
				}
				return
			}
			for u := 0; u <= min(left, most[i]); u++ {
				try(i+1, left-u, sum+cost(i, u))
			}
		}
		try(0, units, 0)
		if (got == nil) != math.IsInf(least, 1) {
			t.Fatalf("room: got %v, brute force %v", got, least)
		}
		sum, all := 0.0, 0
		for i, u := range got {
			sum, all = sum+cost(i, u), all+u
			if u > most[i] {
				t.Fatalf("taker %d: got %d units, want at most %d", i, u, most[i])
			}
		}
		if got != nil && (all != units || sum > least+1e-9) {
			t.Fatalf("got %d units at %v, want %d at %v", all, sum, units, least)
		}
	})
}

func TestCurvesRiseAndForget(t *testing.T) {
	c := &curve{bins: map[int]*curveBin{}}
	for _, p := range [][2]float64{{10, 5}, {20, 4}, {40, 9}, {80, 30}} {
		c.add(p[0], p[1], 100, 1)
	}
	points := c.monotone()
	last := 0.0
	for rate := 1.0; rate < 200; rate *= 1.1 {
		v := at(points, 2, rate)
		if v < last {
			t.Errorf("latency at %.0f/s: got %.2f after %.2f, want a curve that rises", rate, v, last)
		}
		last = v
	}
	if got := at(points, 2, 160); math.Abs(got-120) > 1e-9 {
		t.Errorf("twice beyond what was measured at 30: got %v, want four times it", got)
	}
	c.add(10, 5, 100, 1e-9)
	if len(c.monotone()) != 1 {
		t.Errorf("after all was forgotten: got %d points, want the new one", len(c.monotone()))
	}
}

// playSim plays a policy over a scenario and returns what the clients saw after the warm-up.
func playSim(t *testing.T, scenario string, seed uint64, make func(sc *deathstarbench.Scenario) (control.Policy,
	error)) *sim.Client {
	t.Helper()
	sc, err := deathstarbench.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	p, err := make(sc)
	if err != nil {
		t.Fatal(err)
	}
	run, err := sim.New(sc, sim.Options{Seed: seed, Live: true})
	if err != nil {
		t.Fatal(err)
	}
	current := weights.Set{}
	for _, u := range sc.Upstreams {
		current[u.Name] = weights.Group{}
		for _, s := range u.Servers {
			current[u.Name][s] = weights.Setting{}
		}
	}
	for !run.Done() {
		s, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		d := step(p, s, current)
		for name, m := range d.Weights {
			current[name] = m
		}
		if err := run.SetWeights(simSettings(d.Weights)); err != nil {
			t.Fatal(err)
		}
	}
	return sim.Sum(run.Finish())
}

func TestPlannersRelieveTheSmallServer(t *testing.T) {
	groups := func(sc *deathstarbench.Scenario) map[string]tuner.GroupConfig {
		out := map[string]tuner.GroupConfig{}
		for _, u := range sc.Upstreams {
			out[u.Name] = tuner.GroupConfig{Deadline: u.Deadline.Std()}
		}
		return out
	}
	for _, c := range []struct {
		name string
		make func(sc *deathstarbench.Scenario) (control.Policy, error)
	}{
		{"knapsack over measured curves", func(*deathstarbench.Scenario) (control.Policy, error) {
			return NewKnapsack(KnapsackConfig{})
		}},
		{"rollout from a base that holds", func(sc *deathstarbench.Scenario) (control.Policy, error) {
			return NewRollout(RolloutConfig{Base: &Hold{}, Groups: groups(sc), Seed: 1})
		}},
		{"one step ahead of L3", func(sc *deathstarbench.Scenario) (control.Policy, error) {
			return NewRollout(RolloutConfig{Steps: 1, Groups: groups(sc), Seed: 1})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := playSim(t, "capacity-1-2-4", 4, c.make)
			if p99 := got.Latency.Quantile(0.99); p99 > 250*time.Millisecond { // equal weights: 20 s
				t.Errorf("p99: got %v, want at most 250 ms", p99)
			}
		})
	}
	for name, err := range map[string]error{
		"a negative half-life": (KnapsackConfig{HalfLife: -1}).Validate(),
		"no exploring":         (KnapsackConfig{Explore: 0.5}).Validate(),
	} {
		if err == nil {
			t.Errorf("%s is refused: got no error", name)
		}
	}
	if _, err := NewRollout(RolloutConfig{Steps: 99}); err == nil {
		t.Error("99 steps are refused: got no error")
	}
}
