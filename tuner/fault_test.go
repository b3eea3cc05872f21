package tuner_test

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/rival"
	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/vts"
)

func TestTelemetryGoneForTenMinutes(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.6, 14*time.Minute)
	w := newWorld(t, sc, 1, "")
	w.lost = func(now time.Duration) bool { return now > 2*time.Minute && now <= 12*time.Minute }
	p := tunerFor(t, sc, "", nil)
	var frozen map[string]map[string]sim.Setting
	for _, iv := range run(t, w, p) {
		if iv.end <= 2*time.Minute {
			continue
		}
		if frozen == nil { // what the last sample led to
			frozen = iv.weights
		}
		if iv.end <= 12*time.Minute {
			if iv.err == nil || iv.outcome.Held == "" {
				t.Fatalf("at %v without telemetry: got %+v, want a reason to hold", iv.end, iv.outcome)
			}
			if !maps.Equal(iv.weights["compose_backend"], frozen["compose_backend"]) {
				t.Fatalf("at %v without telemetry: weights changed", iv.end)
			}
		} else if iv.err != nil {
			t.Fatalf("at %v telemetry is back: %v", iv.end, iv.err)
		}
	}
	if bounded(p.Explain(), tuner.BoundOperator) {
		t.Error("nobody edited weights: got an operator's edit")
	}
}

func TestAllServersFailing(t *testing.T) {
	sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.5, 3*time.Minute)
	for _, s := range sc.Servers {
		sc.Faults = append(sc.Faults, deathstarbench.Fault{Server: s.Name, Kind: deathstarbench.Error,
			Probability: 1, Latency: ms(1), At: ms(60_000), Until: ms(120_000)})
	}
	for _, c := range []struct {
		name  string
		eject bool
	}{{"without ejection", false}, {"with ejection", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, sc, 1, "")
			seen := false
			for _, iv := range run(t, w, tunerFor(t, sc, "", func(cfg *tuner.Config) { cfg.Eject = c.eject })) {
				seen = seen || bounded(iv.explain, gate.BoundAllFailing)
				live := 0
				for _, s := range iv.weights["compose_backend"] {
					if !s.Down {
						live++
					}
				}
				if live < 2 {
					t.Fatalf("at %v: %d servers live, want at least 2 of 3", iv.end, live)
				}
				if iv.end > 165*time.Second && iv.errors > 0.01 {
					t.Errorf("at %v, after the fault: %.1f %% errors", iv.end, 100*iv.errors)
				}
			}
			if !seen && !c.eject {
				t.Error("every server fails: no decision said so")
			}
		})
	}
}

func TestFastFailures(t *testing.T) {
	sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.5, 150*time.Second)
	sc.Faults = []deathstarbench.Fault{{Server: "s00", Kind: deathstarbench.Error, Probability: 0.5, Latency: ms(1),
		At: ms(60_000), Until: ms(105_000)}}
	plain := newWorld(t, sc, 2, "least_conn")
	_ = run(t, plain, rival.NewEqual())
	plainErrors := errorShare(plain)
	for _, c := range []struct {
		name, method string
		eject        bool
	}{
		{"round robin, without ejection", "round_robin", false},
		{"least connections, with ejection", "least_conn", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, sc, 2, c.method)
			for _, iv := range run(t, w, tunerFor(t, sc, c.method, func(cfg *tuner.Config) { cfg.Eject = c.eject })) {
				// Two intervals see the failures; the third is the first with the new weights.
				if iv.end > 69*time.Second && iv.end < 85*time.Second && iv.shares["s00"] > 0.02 {
					t.Errorf("at %v: the failing server has %.1f %% of the requests, want below 2 %%", iv.end,
						100*iv.shares["s00"])
				}
			}
			if got := errorShare(w); got > plainErrors/2 {
				t.Errorf("error share %.2f %%, want at most half of plain least_conn's %.2f %%", 100*got,
					100*plainErrors)
			}
		})
	}
}

func errorShare(w *world) float64 {
	c := sim.Sum(w.Totals())
	return float64(c.Errors) / float64(max(c.Requests, 1))
}

func TestBrownOutAndBack(t *testing.T) {
	sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.55, 4*time.Minute)
	sc.Faults = []deathstarbench.Fault{{Server: "s01", Kind: deathstarbench.Slowdown, Factor: 3, At: ms(60_000),
		Until: ms(140_000)}}
	for _, method := range []string{"least_conn", "round_robin"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, sc, 3, method)
			var before, after, n, m float64
			for _, iv := range run(t, w, tunerFor(t, sc, method, nil)) {
				// 60 s + 4 intervals, the queue of the first ones drained by then.
				if iv.end > 75*time.Second && iv.end <= 140*time.Second && iv.p99 > 400*time.Millisecond {
					t.Errorf("at %v: p99 %v in the brown-out, want it recovered", iv.end, iv.p99)
				}
				switch {
				case iv.end > 15*time.Second && iv.end <= 60*time.Second:
					before, n = before+iv.p99.Seconds(), n+1
				case iv.end > 172*time.Second: // ten intervals after the end
					after, m = after+iv.p99.Seconds(), m+1
				}
			}
			if after/m > 1.25*before/n {
				t.Errorf("p99 of an interval %.1f ms ten intervals after the brown-out and later, %.1f ms before it", 1e3*after/m, 1e3*before/n)
			}
		})
	}
}

func TestServerDownIsPassedOver(t *testing.T) {
	sc := scenario(t, "server-down")
	ratio := 0.0
	const seeds = 20 // of which one tells nothing: from 0.9 to 1.4
	for seed := range uint64(seeds) {
		w := newWorld(t, sc, seed+1, "")
		run(t, w, tunerFor(t, sc, "", nil))
		plain := newWorld(t, sc, seed+1, "")
		run(t, plain, rival.NewEqual())
		ratio += math.Log(float64(sim.Sum(w.Totals()).Latency.Quantile(0.99)) / float64(sim.Sum(plain.Totals()).Latency.Quantile(0.99)))
	}
	if got := math.Exp(ratio / seeds); got > 1.2 {
		t.Errorf("a dead server among equals: p99 got %.2f times that of plain round robin over %d seeds, want at most 1.2", got, seeds)
	}
}

// A page that does not record what NGINX passes on shows nothing of a server that was dead before the first request,
// and nobody asks the second group of these servers.
func TestAServerDeadFromTheStartHoldsNobodyUp(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.01, 5*time.Minute)
	idle := sc.Upstreams[0]
	idle.Name, idle.Workload = "home_read_backend", "read-home-timeline"
	sc.Upstreams = append(sc.Upstreams, idle)
	for i := range sc.Servers {
		sc.Servers[i].Service["read-home-timeline"] = ms(30)
	}
	sc.Upstreams[0].Weights = []int{1, 10, 10}
	sc.Faults = []deathstarbench.Fault{{Server: "s00", Kind: deathstarbench.Down, Until: sc.Duration}}
	w := newWorld(t, sc, 1, "")
	w.skewed = func(s *vts.Sample) {
		for g := range s.Groups {
			for i := range s.Groups[g].Peers {
				if p := &s.Groups[g].Peers[i]; p.Server == "s00" {
					*p = vts.PeerSample{Server: p.Server, Weight: p.Weight}
				}
			}
		}
	}
	p := tunerFor(t, sc, "", nil)
	for _, iv := range run(t, w, p) {
		if iv.end > 30*time.Second && bounded(iv.explain, gate.BoundUnknown) {
			t.Fatalf("at %v its upstreams are held because it has not answered yet", iv.end)
		}
	}
	// 7 requests per second, of which it is due a third of one: twenty are missed within a minute.
	for _, g := range p.Beliefs()[0].Groups {
		if g.Name == "compose_backend" && (!g.Links[0].Off || g.Links[1].Off) {
			t.Errorf("got %+v, want the dead server known as one that NGINX passes over, and no other", g.Links)
		}
	}
}

func TestLoadThatDoublesWithinASecondForAnHour(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0, time.Hour)
	sc.Loads[0].Phases = nil
	for at := 0; at < 3600; at += 20 {
		rate := 220.0
		if at%40 != 0 {
			rate = 440
		}
		sc.Loads[0].Phases = append(sc.Loads[0].Phases, deathstarbench.Phase{At: ms(float64(at) * 1e3), Rate: rate})
	}
	w := newWorld(t, sc, 1, "")
	late := 0
	for _, iv := range run(t, w, tunerFor(t, sc, "", nil)) {
		if iv.end > 2*time.Minute && iv.p99 > 500*time.Millisecond {
			late++
		}
	}
	if late > 12 {
		t.Errorf("p99 above 500 ms in %d of 1160 intervals, want at most 1 %%", late)
	}
	checkBudget(t, w.changes)
}

// checkBudget wants no more changes than a budget allows that holds six at first and at most, and regains two in a
// minute.
func checkBudget(t *testing.T, changes []time.Duration) {
	t.Helper()
	for i, from := range changes {
		for j := i; j < len(changes); j++ {
			if most := 6 + int((changes[j]-from)/(30*time.Second)); j-i+1 > most {
				t.Errorf("%d changes from %v to %v, want at most %d: %v", j-i+1, from, changes[j], most, changes)
				return
			}
		}
	}
}

func TestClockJumpsAndEmptySamples(t *testing.T) {
	sc := servers([]int{2, 4}, []float64{1, 1}, 0.5, 2*time.Minute)
	w := newWorld(t, sc, 1, "")
	n := 0
	w.skewed = func(s *vts.Sample) {
		n++
		switch n % 7 {
		case 2:
			s.At = s.At.Add(-48 * time.Hour)
		case 3:
			s.At = s.At.Add(48 * time.Hour)
		case 4:
			s.Interval = -time.Second // counters were reset, the poller has nothing to say
		case 5:
			s.Groups = nil
		}
	}
	p := tunerFor(t, sc, "", nil)
	for _, iv := range run(t, w, p) {
		if len(iv.outcome.Decision.Weights) == 0 && iv.outcome.Decision.Reason == "" {
			t.Fatalf("at %v: a hold without a reason", iv.end)
		}
	}
	checkBudget(t, w.changes)
}

// Bursts of one class end within an interval and leave its servers idle for up to 20 s: nobody hangs, nobody is passed
// over, and nobody fails.
func TestALoadThatEndsIsNobodysFailure(t *testing.T) {
	for _, method := range []string{"round_robin", "least_conn"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			sc := scenario(t, "randomised")
			w := newWorld(t, sc, 1, method)
			p := tunerFor(t, sc, method, nil)
			w.stepped = func() {
				for _, pool := range p.Beliefs() {
					for _, g := range pool.Groups {
						for _, l := range g.Links {
							if l.Off {
								t.Errorf("at %v %s is passed over in %s", w.Now(), pool.Servers[l.Server].Address, g.Name)
							}
						}
					}
				}
			}
			for _, iv := range run(t, w, p) {
				if bounded(iv.explain, gate.BoundAllFailing) || strings.Contains(fmt.Sprint(iv.explain), "fails") {
					t.Fatalf("at %v: %+v, want nobody to fail where nothing does", iv.end, iv.explain)
				}
			}
		})
	}
}
