package arena

import (
	"context"
	"math"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

// one group of two servers, of which the second becomes five times slower, fails a tenth and loses slots.
const lookedAt = `
name = "looked-at"
duration = "3m"
warmup = "20s"
control_interval = "2s"

[[server]]
name = "a"
slots = 4
service = { compose-post = "20ms" }

[[server]]
name = "b"
slots = 4
network_delay = "20ms"
service = { compose-post = "20ms" }

[[upstream]]
name = "u"
workload = "compose-post"
servers = ["a", "b"]

[[load]]
workload = "compose-post"
arrival = "exp"
phases = [{ at = "0s", rate = 150 }]

[[fault]]
server = "b"
kind = "slowdown"
factor = 5
at = "1m"
until = "2m"

[[fault]]
server = "b"
kind = "error"
probability = 0.1
at = "1m"
until = "2m"

[[fault]]
server = "b"
kind = "capacity"
slots = 2
at = "2m"
until = "2m30s"
`

func clairvoyantCase(t *testing.T) Case {
	t.Helper()
	sc, err := deathstarbench.Parse("looked-at.toml", []byte(lookedAt))
	if err != nil {
		t.Fatal(err)
	}
	return Case{Scenario: sc, Seed: 1, Deadlines: map[string]time.Duration{"u": 100 * time.Millisecond}}
}

func TestClairvoyantKnowsTheScenario(t *testing.T) {
	v := NewClairvoyant(clairvoyantCase(t), 0)
	for _, c := range []struct {
		name                     string
		at                       time.Duration
		service, fails, capacity float64 // of server b
	}{
		{"a server far away is as fast as a near one", 30 * time.Second, 0.04, 0, 200},
		{"five times slower, and a tenth fails", 90 * time.Second, 0.12, 0.1, 40},
		{"half of the slots", 130 * time.Second, 0.04, 0, 100},
		{"healed", 170 * time.Second, 0.04, 0, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := v.truth(c.at)[1]
			if got := b.Slots[0].ServiceSec[0]; math.Abs(got-c.service) > 1e-9 {
				t.Errorf("got %v s, want %v", got, c.service)
			}
			if math.Abs(b.Fail[0]-c.fails) > 1e-9 || math.Abs(b.Capacity(0)-c.capacity) > 1e-6 {
				t.Errorf("got %v failing and a capacity of %v/s, want %v and %v", b.Fail[0], b.Capacity(0), c.fails,
					c.capacity)
			}
		})
	}
}

// What is known late is answered late, and what nobody says not at all.
func TestWhoIsToldEarlierIsLateLessOften(t *testing.T) {
	policies, err := ParsePolicies("start,clairvoyant,clairvoyant-late", Choosers(nil))
	if err != nil {
		t.Fatal(err)
	}
	p99 := map[string]float64{}
	err = Play(context.Background(), Config{
		Scenarios: []*deathstarbench.Scenario{clairvoyantCase(t).Scenario}, Policies: policies, Seeds: []uint64{1, 2, 3},
		OnRow: func(r Row, _ *Trace) error {
			p99[r.Policy] += r.LatencyMS.P99 / 3
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !(p99["clairvoyant"] < p99["clairvoyant-late"] && p99["clairvoyant-late"] < p99["start"]) {
		t.Errorf("got p99 in ms of %v, want the clairvoyant before the one that is told late, and both before who holds",
			p99)
	}
}
