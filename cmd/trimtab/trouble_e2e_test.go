package main

import (
	"bytes"
	"math"
	"testing"
	"time"

	"trimtab/arena"
	"trimtab/deathstarbench"
)

// troubleScenario has a server that hangs, then pauses, and another one that sheds load, one after the other.
const troubleScenario = `
name = "trouble"
duration = "12s"
control_interval = "1s"
timeout = "1500ms"
[[server]]
name = "a"
slots = 8
service = { read-home-timeline = "20ms" }
[[server]]
name = "b"
slots = 8
service = { read-home-timeline = "20ms" }
[[upstream]]
name = "g"
workload = "read-home-timeline"
servers = ["a", "b"]
deadline = "60ms"
[[load]]
workload = "read-home-timeline"
arrival = "exp"
phases = [{ at = "0s", rate = 100 }, { at = "11s", rate = 0 }]
[[fault]]
server = "a"
kind = "hang"
at = "2s"
until = "4s"
[[fault]]
server = "a"
kind = "pause"
at = "7s"
until = "8s"
[[fault]]
server = "b"
kind = "shed"
probability = 0.5
at = "2s"
until = "6s"
`

// telltale is what the status page told of one server in a whole run.
type telltale struct{ requests, refused, responseMsec, requestMsec float64 }

// playTrouble plays the scenario with its own weights and returns what the status page told, and the clients' totals.
func playTrouble(t *testing.T, world arena.World, sc *deathstarbench.Scenario) (map[string]telltale, arena.Results) {
	t.Helper()
	defer world.Close()
	deadlines, err := arena.Deadlines(sc)
	if err != nil {
		t.Fatal(err)
	}
	if err := world.Reset(t.Context(), arena.Run{Scenario: sc, Seed: 3, Deadlines: deadlines}); err != nil {
		t.Fatal(err)
	}
	told := map[string]telltale{}
	for done := false; !done; {
		iv, err := world.Step(t.Context())
		if err != nil || iv.Err != nil {
			t.Fatal(err, iv.Err)
		}
		for _, p := range iv.Sample.Groups[0].Peers {
			v := told[p.Server]
			v.requests += float64(p.Requests)
			v.refused += float64(p.Responses[3])
			v.responseMsec += float64(p.ResponseMsec)
			v.requestMsec += float64(p.RequestMsec)
			told[p.Server] = v
		}
		done = iv.Done
	}
	r, err := world.Results(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return told, r
}

// Pauses, hangs and shedding mean the same in the simulator and behind a real NGINX, and its status page says so.
func TestE2ETroubleIsTheSameInBothWorlds(t *testing.T) {
	needNGINX(t)
	sc, err := deathstarbench.Parse("trouble.toml", []byte(troubleScenario))
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	real, err := newTestbedWorld(&env{stdout: &stderr, stderr: &stderr}, &arenaFlags{out: t.TempDir()})()
	if err != nil {
		t.Fatal(err)
	}
	twin, twinClients := playTrouble(t, arena.NewSimWorld(arena.SimOptions{}), sc)
	page, clients := playTrouble(t, real, sc)
	if stderr.Len() > 0 {
		t.Log(stderr.String())
	}
	for _, server := range []string{"a", "b"} {
		s, r := twin[server], page[server]
		t.Logf("%s: twin %+v, testbed %+v", server, s, r)
		for _, c := range []struct {
			name       string
			twin, real float64
			within     float64 // of the twin's, beside a few requests
			few        float64
		}{
			{"requests", s.requests, r.requests, 0.01, 3},
			{"4xx", s.refused, r.refused, 0.12, 12}, // sheds are drawn: 100 ± 7
			{"response time in ms", s.responseMsec, r.responseMsec, 0.15, 500},
			{"request time in ms", s.requestMsec, r.requestMsec, 0.1, 1500},
		} {
			if math.Abs(c.twin-c.real) > c.within*c.twin+c.few {
				t.Errorf("server %s, %s: the twin says %.0f, the testbed %.0f", server, c.name, c.twin, c.real)
			}
		}
	}
	hung, above := page["a"].refused, page["a"].requestMsec-page["a"].responseMsec
	if hung < 80 || above < 1400*hung {
		t.Errorf("who gave up on a: got %.0f, and %.0f ms of request time above response time", hung, above)
	}
	if a, b := float64(twinClients.Errors), float64(clients.Errors); math.Abs(a-b) > 0.12*a+10 {
		t.Errorf("clients: the twin has %v errors, the testbed %v", a, b)
	}
	a, b := twinClients.Latency.Quantile(0.9), clients.Latency.Quantile(0.9)
	if max(a, b)-min(a, b) > 150*time.Millisecond {
		t.Errorf("clients: the twin has p90 %s, the testbed %s", a, b)
	}
}
