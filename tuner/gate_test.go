package tuner_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/tuner"
	"trimtab/vts"
)

// synthetic returns a sample of one group with requests, mean response in ms and errors by server.
func synthetic(weights []int, rows ...[3]float64) vts.Sample {
	g := vts.GroupSample{Name: "g"}
	for i, r := range rows {
		p := vts.PeerSample{Server: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: weights[i], Known: r[0] > 0, Requests: uint64(r[0]), ResponseMsec: uint64(r[0] * r[1])}
		p.Responses[4] = uint64(r[2])
		p.Responses[1] = p.Requests - p.Responses[4]
		g.Peers = append(g.Peers, p)
	}
	return vts.Sample{At: time.Unix(1_700_000_000, 0), Interval: 3 * time.Second, Groups: []vts.GroupSample{g}}
}

func decide(p *tuner.Policy, s vts.Sample) tuner.Decision {
	return p.Decide(tuner.Observation{Sample: s, Current: control.InForce(s)})
}

func newTuner(t *testing.T, change func(*tuner.Config)) *tuner.Policy {
	t.Helper()
	cfg := tuner.Config{Groups: map[string]tuner.GroupConfig{"g": {Deadline: 60 * time.Millisecond}}, Regimes: tuner.RegimeConfig{Observe: -1}}
	if change != nil {
		change(&cfg)
	}
	p, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &tuner.Policy{Tuner: p}
}

func TestEveryBoundIsAVisibleReason(t *testing.T) {
	equal, slow := []int{1, 1, 1}, [3]float64{300, 200, 0}
	good := [3]float64{300, 20, 0}
	for _, c := range []struct {
		about  string
		bound  tuner.Bound
		change func(*tuner.Config)
		feed   func(*tuner.Policy)
	}{
		{"equal servers: the gain does not pay for a reload", tuner.BoundGain, nil, func(p *tuner.Policy) { decide(p, synthetic(equal, good, good, good)) }},
		{"a server that answers at once on a twentieth of the requests wants more than one step", tuner.BoundStep, nil, func(p *tuner.Policy) {
			decide(p, synthetic([]int{10, 10, 1}, [3]float64{430, 40, 0}, [3]float64{430, 40, 0}, [3]float64{43, 2, 0}))
		}},
		{"a dead band of 90 % swallows every change", tuner.BoundDeadBand, func(c *tuner.Config) { c.DeadBand = 0.9 }, func(p *tuner.Policy) {
			decide(p, synthetic(equal, good, good, slow))
		}},
		{"ten requests are no evidence", tuner.BoundEvidence, nil, func(p *tuner.Policy) {
			decide(p, synthetic(equal, [3]float64{4, 20, 0}, [3]float64{4, 20, 0}, [3]float64{2, 300, 0}))
		}},
		{"the weights are somebody else's", tuner.BoundOperator, nil, func(p *tuner.Policy) {
			decide(p, synthetic(equal, good, good, good))
			decide(p, synthetic([]int{7, 1, 1}, good, good, good))
		}},
		{"every server fails", tuner.BoundAllFailing, nil, func(p *tuner.Policy) {
			bad := [3]float64{300, 2, 290}
			for range 3 {
				decide(p, synthetic(equal, bad, bad, bad))
			}
		}},
		{"one server: nothing to choose", tuner.BoundOne, nil, func(p *tuner.Policy) { decide(p, synthetic([]int{1}, good)) }},
		{"no requests", tuner.BoundIdle, nil, func(p *tuner.Policy) { decide(p, synthetic(equal, [3]float64{}, [3]float64{}, [3]float64{})) }},
		{"told to hold", tuner.BoundHold, nil, func(p *tuner.Policy) {
			p.Hold("kill switch")
			decide(p, synthetic(equal, good, good, slow))
		}},
		{"at most one server in ten is ejected", tuner.BoundEject, func(c *tuner.Config) { c.Eject = true }, func(p *tuner.Policy) {
			bad := [3]float64{300, 2, 200}
			decide(p, synthetic(equal, good, bad, bad))
		}},
		{"no change is left", tuner.BoundBudget, func(c *tuner.Config) { c.Burst = 1 }, func(p *tuner.Policy) {
			w := decide(p, synthetic(equal, good, good, slow)).Weights
			for range 4 {
				s := synthetic(equal, good, [3]float64{300, 400, 0}, [3]float64{300, 900, 0})
				for i := range s.Groups[0].Peers {
					s.Groups[0].Peers[i].Weight = w["g"][s.Groups[0].Peers[i].Server].Weight.Int()
				}
				decide(p, s)
			}
		}},
	} {
		p := newTuner(t, c.change)
		c.feed(p)
		e := p.Explain()
		if !bounded(e, c.bound) {
			t.Errorf("%s: got %+v, want bound %s", c.about, e.Pools, c.bound)
		}
		if text := e.Text(); !strings.Contains(text, string(c.bound)) {
			t.Errorf("%s: the text does not name %s:\n%s", c.about, c.bound, text)
		}
	}
}

func TestOperatorWins(t *testing.T) {
	good := [3]float64{300, 20, 0}
	p := newTuner(t, nil)
	decide(p, synthetic([]int{1, 1}, good, good))
	if d := decide(p, synthetic([]int{9, 1}, good, [3]float64{300, 90, 0})); len(d.Weights) > 0 {
		t.Errorf("the interval of an operator's edit is held: got %v", d.Weights)
	}
	decide(p, synthetic([]int{9, 1}, good, good))
	if e := p.Explain(); e.Pools[0].InForce != "base" {
		t.Errorf("the operator's weights are the new base: got %s", e.Pools[0].InForce)
	}
}

func TestServersComeGoAndAreRenamed(t *testing.T) {
	p := newTuner(t, nil)
	good, slow := [3]float64{300, 20, 0}, [3]float64{300, 80, 0}
	for i, rows := range [][][3]float64{{good, good}, {good, good}, {good, good, slow}, {good, slow}, {good}, {good, slow, good, good}} {
		weights := []int{1, 1, 1, 1}[:len(rows)]
		for range 4 {
			s := synthetic(weights, rows...)
			if i == 3 {
				s.Groups[0].Peers[0].Server = "renamed:80"
			}
			d := decide(p, s)
			for _, m := range d.Weights {
				if len(m) != len(rows) {
					t.Fatalf("round %d: settings for %d servers, want %d", i, len(m), len(rows))
				}
				for _, peer := range s.Groups[0].Peers {
					if _, ok := m[peer.Server]; !ok {
						t.Fatalf("round %d: no setting for %s", i, peer.Server)
					}
				}
			}
		}
	}
}

func TestIdenticalServersAreLeftAlone(t *testing.T) {
	for _, method := range []string{"round_robin", "least_conn"} {
		sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.6, 10*time.Minute)
		w := newWorld(t, sc, 4, method)
		run(t, w, tunerFor(t, sc, method, nil))
		if len(w.changes) > 1 {
			t.Errorf("%s: %d changes among identical servers, want at most 1", method, len(w.changes))
		}
	}
}

func TestSteadyHourWithoutReloads(t *testing.T) {
	sc := scenario(t, "capacity-1-2-4")
	sc.Duration = ms(70 * 60 * 1e3)
	w := newWorld(t, sc, 1, "")
	run(t, w, tunerFor(t, sc, "", nil))
	late := 0
	for _, at := range w.changes {
		if at > 10*time.Minute {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d changes in an hour of steady load after ten minutes, want 0: %v", late, w.changes)
	}
	checkBudget(t, w.changes)
}

func TestSnapshotRestoresWhatWasLearned(t *testing.T) {
	sc := servers([]int{2, 4, 8}, []float64{1, 1, 1}, 0.6, 90*time.Second)
	teacher := tunerFor(t, sc, "", nil)
	run(t, newWorld(t, sc, 1, ""), teacher)
	s, err := teacher.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back tuner.Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	pupil := tunerFor(t, sc, "", nil)
	if err := pupil.Restore(back); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, sc, 2, "")
	first := run(t, w, pupil)[1]
	if a, c := first.weights["compose_backend"]["s00"].Weight, first.weights["compose_backend"]["s02"].Weight; float64(c) < 2.4*float64(a) {
		t.Errorf("restored, after two intervals: weights %d and %d for capacities 1 and 4, want at least 1:2.4", a, c)
	}
	back.Version = 99
	if err := pupil.Restore(back); !errors.Is(err, tuner.ErrSnapshotVersion) {
		t.Errorf("a snapshot of a newer version: got %v", err)
	}
	back.Version = tuner.SnapshotVersion
	back.Servers[0].Points[0].RatePerSec = nil
	if err := pupil.Restore(back); err == nil {
		t.Error("a damaged snapshot is refused: got no error")
	}
}

func TestHeavyLoadFromEqualWeights(t *testing.T) {
	for _, load := range []float64{0.7, 0.85} {
		sc := servers([]int{4, 8, 16}, []float64{1, 1, 1}, load, 90*time.Second)
		sc.Upstreams[0].Method = deathstarbench.RoundRobin
		w := newWorld(t, sc, 6, "")
		for _, iv := range run(t, w, tunerFor(t, sc, "", nil)) {
			if iv.end > 45*time.Second && iv.p99 > 300*time.Millisecond {
				t.Errorf("load %v, at %v: p99 %v, want the overload of the start worked off", load, iv.end, iv.p99)
			}
		}
		checkBudget(t, w.changes)
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	err := tuner.Config{Headroom: 0.5, DeadBand: 2, Method: "random", Groups: map[string]tuner.GroupConfig{"g": {Priority: 0.1}}}.Validate()
	if err == nil {
		t.Fatal("a config with four faults is refused: got no error")
	}
	for _, want := range []string{"headroom", "dead_band", "method", "priority"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}
