package arena

import (
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench/worlds"
)

func TestReturnsAreOfRegimesThatHadComeTwice(t *testing.T) {
	var spells []worlds.Regime
	for i, name := range []string{"day", "night", "day", "day", "night"} {
		spells = append(spells, worlds.Regime{Name: name, From: time.Duration(i) * 20 * time.Second,
			To: time.Duration(i+1) * 20 * time.Second})
	}
	trace := &Trace{}
	for at := 4.0; at <= 100; at += 4 {
		trace.Points = append(trace.Points, Point{AtSec: at, Requests: 10, ARTPerRequest: at})
	}
	got := Returns(trace, spells)
	if len(got) != 1 || got[0].Regime != "day" || got[0].Requests != 30 || got[0].Tardiness != 10*(64+68+72) {
		t.Fatalf("got %+v, want the third day with its first three intervals, which end after 64, 68 and 72 s", got)
	}
	if art := ReturnART(got); art != 68 {
		t.Errorf("got an ART of %v per request, want 68", art)
	}
}

func TestRecurrencesAreComparedWorldByWorld(t *testing.T) {
	cell := func(world, policy string, seed uint64, art, p99 float64) Recurrence {
		return Recurrence{World: world, Policy: policy, Seed: seed, Returns: 2, ReturnART: art, P99MS: p99,
			ChangesPerHour: p99}
	}
	got := CompareRecurrences([]Recurrence{
		cell("w1", "on", 1, 0.499, 50), cell("w1", "off", 1, 0.999, 100),
		cell("w1", "on", 2, 0.499, 50), cell("w1", "off", 2, 0.999, 100),
		cell("w2", "on", 1, 0.999, 200), cell("w2", "off", 1, 0.499, 100),
		cell("w3", "on", 1, 1, 100), // without a partner
	}, "on", "off")
	if got.Worlds != 2 || math.Abs(got.ReturnART.Mean-1) > 1e-9 || math.Abs(got.P99.Mean-1) > 1e-9 ||
		got.WorstWorld != "w2" || got.WorstP99 != 2 {
		t.Errorf("got %+v, want ratios of ½ and 2 in two worlds", got)
	}
	if got.Returns != 6 || got.ChangesPerHour != 100 || got.BaselineChanges != 100 {
		t.Errorf("got %d returns, %v and %v changes per hour, want 6, 100 and 100", got.Returns, got.ChangesPerHour,
			got.BaselineChanges)
	}
}
