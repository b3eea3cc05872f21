package sim

import (
	"testing"
	"time"

	"trimtab/deathstarbench"
)

// playMethod plays a built-in scenario with a method, and returns what the clients saw.
func playMethod(t *testing.T, scenario string, m Method, seed uint64) *Client {
	t.Helper()
	sc, err := deathstarbench.Load(scenario)
	if err != nil {
		t.Fatal(err)
	}
	run, err := New(sc, Options{Seed: seed, Method: m})
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		if _, err := run.Step(); err != nil {
			t.Fatal(err)
		}
	}
	return Sum(run.Finish())
}

func TestWhoKnowsEverythingIsTheFloor(t *testing.T) {
	for _, scenario := range []string{"capacity-1-2-4", "capacity-1-2-4-85", "class-speeds", "fast-failures",
		"server-down"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			floor := playMethod(t, scenario, JSED, 3)
			for _, m := range []Method{LeastConn, LeastTime, PeakEWMA, Prequal} {
				got := playMethod(t, scenario, m, 3)
				if mean := floor.Latency.Mean(); mean > got.Latency.Mean()*101/100 && floor.Errors >= got.Errors {
					t.Errorf("mean of jsed: got %v, want no more than the %v of %s", mean, got.Latency.Mean(), m)
				}
				if floor.Errors > got.Errors {
					t.Errorf("errors of jsed: got %d, want no more than the %d of %s", floor.Errors, got.Errors, m)
				}
			}
		})
	}
}

func TestPrequalIsBetterThanChanceWhereServersDiffer(t *testing.T) {
	for _, scenario := range []string{"capacity-1-2-4", "capacity-1-2-4-85", "mixed-hardware"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			got, chance := playMethod(t, scenario, Prequal, 5), playMethod(t, scenario, RoundRobin, 5)
			if a, b := got.Latency.Quantile(0.99), chance.Latency.Quantile(0.99); a > b/2 {
				t.Errorf("p99: got %v, want at most half of the %v of equal shares", a, b)
			}
		})
	}
}

func TestPickersThatAskServersSurviveTheirTroubles(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault deathstarbench.Fault
		most  float64 // share of failed requests that jsed may have
	}{
		{"a server that is down gets nothing", deathstarbench.Fault{Kind: deathstarbench.Down}, 0.01},
		{"a server that hangs gets nothing", deathstarbench.Fault{Kind: deathstarbench.Hang, Probability: 1}, 0.01},
		{"a server that sheds gets nothing", deathstarbench.Fault{Kind: deathstarbench.Shed, Probability: 1}, 0.01},
		{"a server that stands still gets nothing meanwhile", deathstarbench.Fault{Kind: deathstarbench.Pause}, 0.01},
		{"a server that has lost slots gets less", deathstarbench.Fault{Kind: deathstarbench.Capacity, Slots: 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc, err := deathstarbench.Load("capacity-1-2-4-40")
			if err != nil {
				t.Fatal(err)
			}
			f := c.fault
			f.Server, f.At, f.Until = "b", deathstarbench.Duration(20*time.Second),
				deathstarbench.Duration(40*time.Second)
			f.Complete()
			sc.Faults = append(sc.Faults, f)
			for _, m := range []Method{JSED, Prequal} {
				run, err := New(sc, Options{Seed: 2, Method: m, Timeout: 5 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				for !run.Done() {
					if _, err := run.Step(); err != nil {
						t.Fatal(err)
					}
				}
				all := Sum(run.Finish())
				if share := float64(all.Errors) / float64(all.Requests); m == JSED && share > c.most {
					t.Errorf("failed requests of %s: got %.4f, want at most %.4f", m, share, c.most)
				}
				if all.Requests == 0 {
					t.Errorf("%s: no request was answered", m)
				}
			}
		})
	}
}
