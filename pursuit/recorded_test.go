package pursuit_test

import (
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// twoLoads is a world whose load doubles halfway.
const twoLoads = `name = "two-loads"
duration = "600s"
control_interval = "5s"

[[workload]]
name = "cart"
path = "/cart"
bytes = 3000

[[server]]
name = "a-80"
slots = 2
service_cv = 0.5
service = { cart = "40ms" }

[[server]]
name = "b-80"
slots = 6
service_cv = 0.5
service = { cart = "40ms" }

[[upstream]]
name = "cart"
workload = "cart"
servers = ["a-80", "b-80"]
weights = [1, 3]

[[load]]
workload = "cart"
arrival = "exp"
phases = [{ at = "0s", rate = 70 }, { at = "300s", rate = 140 }]
`

// playedThrough plays a scenario and gives every sample to a function; it returns what the clients saw.
func playedThrough(t *testing.T, sc *deathstarbench.Scenario, seed uint64, see func(vts.Sample)) *sim.Client {
	t.Helper()
	run, err := sim.New(sc, sim.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for !run.Done() {
		s, err := run.Step()
		if err != nil {
			t.Fatal(err)
		}
		see(s)
	}
	return sim.Sum(run.Finish())
}

func study(t *testing.T) *pursuit.Study {
	t.Helper()
	aim, err := objective.New(objective.Spec{Kind: objective.KindTardiness,
		Upstreams: map[string]objective.Terms{"cart": {Importance: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := pursuit.NewStudy(pursuit.Config{Objective: aim, Search: pursuit.Options{Interval: 5 * time.Second},
		Tuner: tuner.Config{Unlimited: true, Regimes: load.RegimeConfig{Observe: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheScenarioOfARecordingBehavesLikeWhatWasRecorded(t *testing.T) {
	truth, err := deathstarbench.Parse("two-loads.toml", []byte(twoLoads))
	if err != nil {
		t.Fatal(err)
	}
	// Servers are recorded by their addresses, which are no names of a scenario.
	for i := range truth.Servers {
		truth.Servers[i].Name = truth.Servers[i].Name[:1] + ":80"
		truth.Upstreams[0].Servers[i] = truth.Servers[i].Name
	}
	s := study(t)
	was := playedThrough(t, truth, 3, s.Add)
	got, recorded, played, err := s.Scenario("mine")
	if err != nil {
		t.Fatal(err)
	}
	if r := played / recorded; r < 0.9 || r > 1.1 {
		t.Errorf("the twin answers in %.2f times what was recorded, want within a tenth", r)
	}
	again, err := deathstarbench.Parse("mine.toml", got.Format("from a test"))
	if err != nil {
		t.Fatalf("what is printed is no scenario: %v\n%s", err, got.Format(""))
	}
	if len(again.Servers) != 2 || again.Server("a-80") == nil || len(again.Upstreams) != 1 || len(again.Faults) != 0 {
		t.Fatalf("got\n%s", again.Format(""))
	}
	if d := again.Duration.Std(); d != 600*time.Second {
		t.Errorf("got %s, want the 600 s that were recorded", d)
	}
	if w := again.Upstreams[0].Weights; len(w) != 2 || 3*w[0] != w[1] {
		t.Errorf("got weights %v, want those in force, 1:3", w)
	}
	if b := again.Workloads[0].Bytes; math.Abs(float64(b)/3000-1) > 0.1 {
		t.Errorf("got answers of %d bytes, want about 3000", b)
	}
	for _, c := range []struct {
		at   time.Duration
		want float64
	}{{150 * time.Second, 70}, {450 * time.Second, 140}} {
		if rate := again.RateAt("cart", c.at); math.Abs(rate/c.want-1) > 0.12 {
			t.Errorf("at %s: got %.0f/s, want %.0f/s", c.at, rate, c.want)
		}
	}
	if n := len(again.Loads[0].Phases); n < 2 || n > 20 {
		t.Errorf("got %d phases of a load that changes once", n)
	}
	now := playedThrough(t, again, 4, func(vts.Sample) {})
	if r := float64(now.Latency.Mean()) / float64(was.Latency.Mean()); r < 0.85 || r > 1.15 {
		t.Errorf("played again: mean latency %.2f times what was recorded, want within 15 %%", r)
	}
	p99 := func(c *sim.Client) float64 { return float64(c.Latency.Quantile(0.99)) }
	if r := p99(now) / p99(was); r < 0.75 || r > 1.35 {
		t.Errorf("played again: p99 %.2f times what was recorded, want within a third", r)
	}
}

func TestAScenarioNeedsARecording(t *testing.T) {
	if sc, _, _, err := study(t).Scenario("mine"); err == nil {
		t.Errorf("got %v of nothing, want an error", sc)
	}
}
