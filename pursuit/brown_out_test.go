package pursuit_test

import (
	"fmt"
	"testing"
	"time"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/objective"
)

// Of two servers of eight slots two and four are left for a minute. What waits then is gone in the fourth interval and
// does not come back, what is left carries what it can within the bound, and three quarters of a minute after the slots
// are back nobody is refused.
func TestABrownOutIsOverInTheFourthInterval(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			sc, err := deathstarbench.Load("mesh-brown-out")
			if err != nil {
				t.Fatal(err)
			}
			at := 3 * time.Minute
			for i := range sc.Faults {
				sc.Faults[i].At, sc.Faults[i].Until = deathstarbench.Duration(at),
					deathstarbench.Duration(at+time.Minute)
			}
			o, err := objective.New(sc.Spec())
			if err != nil {
				t.Fatal(err)
			}
			p, err := arena.NewPursuit(arena.Case{Scenario: sc, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			world := arena.NewSimWorld(arena.SimOptions{Live: true})
			if err := world.Reset(t.Context(), arena.Run{Scenario: sc, Seed: seed}); err != nil {
				t.Fatal(err)
			}
			l := &arena.Loop{World: world, Policy: p, Scenario: sc}
			interval, carried := sc.ControlInterval.Std(), 0.0
			first, back := int(at/interval)+1, int((at+time.Minute)/interval)+1
			for n := 1; n < back+15; n++ {
				iv, _, err := l.Step(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				v := objective.Observe(iv.Sample, o.Terms(), 0).Services[0]
				if n >= first+3 && n < first+10 && v.DelaySec > 0.06 {
					t.Errorf("interval %d of the fault: a mean of %.0f ms, the bound is 60", n-first+1, v.DelaySec*1e3)
				}
				if n > first && n < first+10 {
					carried += v.CarriedPerSec / 9
				}
			}
			if carried < 145 {
				t.Errorf("%.0f per second are carried, want at least 145: 152 can be within the bound", carried)
			}
			if part := l.Levels.Blocked["information"]; part > 0 {
				t.Errorf("%.2f are still refused: %s", part, p.Explain().Reason)
			}
		})
	}
}
