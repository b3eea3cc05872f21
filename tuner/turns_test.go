package tuner_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// many is a tuner of 30 pools of 50 servers, more than one step plans for, and the samples that it sees.
func many(t *testing.T, seed uint64) (step func(change func(*vts.Sample)) tuner.Explanation) {
	t.Helper()
	p, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	next := fleet(30, 50, false, rand.New(rand.NewPCG(seed, 6)))
	return func(change func(*vts.Sample)) tuner.Explanation {
		s := next()
		if change != nil {
			change(&s)
		}
		p.Observe(s, control.InForce(s))
		return p.Explain()
	}
}

func waits(e tuner.PoolExplanation) bool { return slices.Contains(e.Bounds, gate.BoundTurn) }

func TestManyPoolsTakeTurns(t *testing.T) {
	step := many(t, 5)
	waited := make([]int, 30) // s
	for i := range 120 {
		planned := 0
		for j, e := range step(nil).Pools {
			if waited[j] += 3; !waits(e) {
				planned++
				waited[j] = 0
			}
			if waited[j] > 120 {
				t.Fatalf("step %d: pool %d waits for %d s, want all to have their turn in 120 s", i, j, waited[j])
			}
		}
		if planned < 1 || planned > 10 {
			t.Fatalf("step %d: got %d of 30 pools of 50 servers planned, want at least 1, and no more than 500 servers", i, planned)
		}
	}
}

func TestAPoolOfWhichAServerFailsIsPlannedAtOnce(t *testing.T) {
	for first := range 4 {
		step := many(t, uint64(first))
		for range 20 + first { // to other places in the order of turns
			step(nil)
		}
		failing := []int{1, 7, 13, 19, 28}
		var e tuner.Explanation
		for range 2 { // in the second interval some of them have just had their turn
			e = step(func(s *vts.Sample) {
				for _, j := range failing {
					p := &s.Groups[j].Peers[3]
					p.Responses[1], p.Responses[4] = 0, p.Requests
				}
			})
			for _, j := range failing {
				if waits(e.Pools[j]) {
					t.Errorf("from step %d on: pool %d has a server that fails, got %q, want it planned", 20+first, j, e.Pools[j].Reason)
				}
			}
		}
		if n := slices.IndexFunc(e.Pools, waits); n < 0 {
			t.Error("all pools were planned, want those without a failing server to take turns")
		}
	}
}

func TestTurnsAreTheSameInEveryRun(t *testing.T) {
	a, b := many(t, 9), many(t, 9)
	for i := range 40 {
		x, err := json.Marshal(a(nil))
		if err != nil {
			t.Fatal(err)
		}
		y, err := json.Marshal(b(nil))
		if err != nil {
			t.Fatal(err)
		}
		if string(x) != string(y) {
			t.Fatalf("step %d: two tuners of the same seed and samples say\n%.600s\nand\n%.600s", i, x, y)
		}
	}
}

func TestFewPoolsDoNotWait(t *testing.T) {
	p, err := tuner.New(tuner.Config{Regimes: load.RegimeConfig{Observe: -1}})
	if err != nil {
		t.Fatal(err)
	}
	next := fleet(5, 100, false, rand.New(rand.NewPCG(1, 6)))
	for i := range 10 {
		s := next()
		p.Observe(s, control.InForce(s))
		for j, e := range p.Explain().Pools {
			if waits(e) || len(e.Servers) != 100 {
				t.Fatalf("step %d: pool %d of 5 got %q and %d servers, want it planned", i, j, e.Reason, len(e.Servers))
			}
		}
	}
}
