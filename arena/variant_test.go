package arena

import (
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

func TestDilateKeepsTheQueues(t *testing.T) {
	sc := small(t)
	sc.Servers[0].NetworkDelay = deathstarbench.Duration(10 * time.Millisecond)
	run := func(s *deathstarbench.Scenario) Row {
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		rows, _ := play(t, Config{Scenarios: []*deathstarbench.Scenario{s}, Seeds: []uint64{1},
			Policies: parse(t, "capacity", nil)})
		return rows[0]
	}
	a, b := run(sc), run(Dilate(sc, 4))
	if a.Requests != b.Requests || math.Abs(b.LatencyMS.P99/a.LatencyMS.P99/4-1) > 0.005 ||
		math.Abs(b.ARTPerRequest-a.ARTPerRequest) > 0.001*(1+a.ARTPerRequest) {
		t.Errorf("four times slower, else the same: got %d and %d requests, p99 %v and %v ms, ART %v and %v",
			a.Requests, b.Requests,
			a.LatencyMS.P99, b.LatencyMS.P99, a.ARTPerRequest, b.ARTPerRequest)
	}
}

func TestShorten(t *testing.T) {
	sc := small(t)
	sc.Loads[0].Phases = append(sc.Loads[0].Phases, deathstarbench.Phase{At: deathstarbench.Duration(20 * time.Second),
		Rate: 20})
	sc.Faults = []deathstarbench.Fault{{Server: "a", Kind: deathstarbench.Slowdown, Factor: 2,
		At: deathstarbench.Duration(5 * time.Second), Until: deathstarbench.Duration(30 * time.Second)}}
	short, err := Shorten(sc, 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := short.Validate(); err != nil || len(short.Loads[0].Phases) != 1 ||
		short.Faults[0].Until.Std() != 15*time.Second {
		t.Errorf("what begins later is gone, what lasts longer is cut: got %+v, %v", short, err)
	}
	if len(sc.Loads[0].Phases) != 2 {
		t.Error("the scenario itself is left alone")
	}
	if _, err := Shorten(sc, sc.Warmup.Std()); err == nil {
		t.Error("nothing but the warm-up: got no error")
	}
}
