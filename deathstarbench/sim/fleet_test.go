package sim

import (
	"fmt"
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

// several is a scenario with balancers of the given shares in front of two servers.
func several(t *testing.T, shares ...float64) *deathstarbench.Scenario {
	t.Helper()
	text := `
name = "several"
duration = "60s"
control_interval = "3s"
[[server]]
name = "a"
slots = 4
service_cv = 0.5
service = { compose-post = "20ms" }
[[server]]
name = "b"
slots = 4
service_cv = 0.5
service = { compose-post = "20ms" }
[[upstream]]
name = "u"
workload = "compose-post"
servers = ["a", "b"]
[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 200 }]
`
	for i, s := range shares {
		text += fmt.Sprintf("[[balancer]]\nname = \"n%d\"\nshare = %g\n", i, s)
	}
	sc, err := deathstarbench.Parse("several.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func TestBalancersSeeTheirShareOfTheLoad(t *testing.T) {
	t.Parallel()
	s, err := New(several(t, 1, 1, 2), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var seen [3]float64
	for !s.Done() {
		for i, v := range s.StepAll() {
			seen[i] += float64(v.Groups[0].Requests())
		}
	}
	total := seen[0] + seen[1] + seen[2]
	for i, want := range []float64{0.25, 0.25, 0.5} {
		if got := seen[i] / total; math.Abs(got-want) > 0.02 {
			t.Errorf("balancer %d saw %.3f of the load, want %.2f", i, got, want)
		}
	}
	if n := s.Finish()[0].Requests; math.Abs(float64(n)-total) > 100 {
		t.Errorf("clients count %d requests, balancers %.0f", n, total)
	}
}

func TestWeightsOfOneBalancerAreItsOwn(t *testing.T) {
	t.Parallel()
	s, err := New(several(t, 1, 1), Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.StepAll()
	if err := s.SetWeightsOf(1, map[string]map[string]Setting{"u": {"a": {Weight: 9}, "b": {Weight: 1}}}); err != nil {
		t.Fatal(err)
	}
	s.StepAll()
	got := s.StepAll()
	for i, want := range []float64{0.5, 0.9} {
		p := got[i].Groups[0].Peers
		share := float64(p[0].Requests) / float64(p[0].Requests+p[1].Requests)
		if math.Abs(share-want) > 0.03 {
			t.Errorf("balancer %d sends %.2f to server a, want %.2f", i, share, want)
		}
	}
	if got[0].Generation == got[1].Generation {
		t.Error("the reload of one balancer shows at the other")
	}
	if err := s.SetWeightsOf(2, nil); err == nil {
		t.Error("got no error for a balancer that is not there")
	}
}

func TestOneBalancerIsAScenarioWithoutAny(t *testing.T) {
	t.Parallel()
	play := func(sc *deathstarbench.Scenario) (sum uint64, p99 time.Duration) {
		s, err := New(sc, Options{Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		for !s.Done() {
			if _, err := s.Step(); err != nil {
				t.Fatal(err)
			}
		}
		c := s.Finish()[0]
		return c.Requests, c.Latency.Quantile(0.99)
	}
	n, q := play(several(t))
	m, r := play(several(t, 1))
	if n != m || q != r {
		t.Errorf("got %d requests, p99 %v with one balancer and %d, %v without any: want the same", m, r, n, q)
	}
}
