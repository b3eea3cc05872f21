package arena

import (
	"context"
	"fmt"
	"math"
	"testing"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/tuner"
)

// fleetScenario has balancers in front of servers of capacity 1:2:4 at 80 %; extra is what the last balancer has beside
// its name.
func fleetScenario(t *testing.T, balancers int, extra string) *deathstarbench.Scenario {
	t.Helper()
	text := `
name = "fleet"
duration = "150s"
warmup = "90s"
control_interval = "3s"
`
	for i, name := range []string{"a", "b", "c"} {
		text += fmt.Sprintf("[[server]]\nname = %q\nslots = %d\nservice_cv = 0.5\nservice = { read-home-timeline = "+
			"\"20ms\" }\n", name, 1<<i)
	}
	text += `
[[upstream]]
name = "u"
workload = "read-home-timeline"
servers = ["a", "b", "c"]
deadline = "45ms"
[[load]]
workload = "read-home-timeline"
arrival = "exp"
phases = [{ at = "0s", rate = 270 }]
`
	for i := range balancers {
		text += fmt.Sprintf("[[balancer]]\nname = \"n%d\"\n", i)
	}
	sc, err := deathstarbench.Parse("fleet.toml", []byte(text+extra))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func tunedForTest(_ context.Context, c Case) (control.Policy, error) {
	return tuner.New(tuner.Config{Seed: c.Seed,
		Groups: map[string]tuner.GroupConfig{"u": {Deadline: c.Deadlines["u"]}}})
}

func playFleet(t *testing.T, sc *deathstarbench.Scenario, seed uint64, each NewPolicy) Row {
	t.Helper()
	deadlines, err := Deadlines(sc)
	if err != nil {
		t.Fatal(err)
	}
	row, _, _, err := playCell(t.Context(), NewSimWorld(SimOptions{}), "sim",
		Case{Scenario: sc, Seed: seed, Deadlines: deadlines},
		Policy{Name: "p", Chooser: "p", New: each})
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func TestFleetThatSharesBeatsNodesThatLearnAlone(t *testing.T) {
	t.Parallel()
	const seeds = 3
	one, alone, shared := 1.0, 1.0, 1.0 // p99 in ms, geometric means
	for seed := range uint64(seeds) {
		for to, row := range map[*float64]Row{
			&one:    playFleet(t, fleetScenario(t, 0, ""), seed+1, tunedForTest),
			&alone:  playFleet(t, fleetScenario(t, 4, ""), seed+1, tunedForTest),
			&shared: playFleet(t, fleetScenario(t, 4, ""), seed+1, NewShared(tunedForTest)),
		} {
			*to *= math.Pow(row.LatencyMS.P99, 1.0/seeds)
		}
	}
	t.Logf("p99: one balancer %.1f ms, four alone %.1f, four that share %.1f", one, alone, shared)
	if most := (one + alone) / 2; shared > most {
		t.Errorf("p99 %.1f ms, want at most %.1f: sharing saves at least half of what several lose beside one", shared,
			most)
	}
}

func TestFleetBearsPartitionsAndDelays(t *testing.T) {
	t.Parallel()
	base := playFleet(t, fleetScenario(t, 4, ""), 3, NewShared(tunedForTest))
	for _, c := range []struct{ name, extra string }{
		{"one is cut off for a minute", "partitions = [{ at = \"80s\", until = \"130s\" }]"},
		{"one joins late", "joins_at = \"40s\""},
		{"one is four seconds away", "telemetry_delay = \"4s\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := playFleet(t, fleetScenario(t, 4, c.extra), 3, NewShared(tunedForTest))
			if most := 1.35 * base.LatencyMS.P99; got.LatencyMS.P99 > most || got.Errors > 0 {
				t.Errorf("p99 %.1f ms and %d errors, want at most %.1f ms", got.LatencyMS.P99, got.Errors, most)
			}
		})
	}
}
