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
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/vts"
	"trimtab/weights"
	"trimtab/words"
)

// synthetic returns a sample of one group with requests, mean response in ms and errors by server.
func synthetic(weights []int, rows ...[3]float64) vts.Sample {
	g := vts.GroupSample{Name: "g"}
	for i, r := range rows {
		p := vts.PeerSample{Server: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: weights[i], Known: r[0] > 0,
			Requests:     uint64(r[0]),
			ResponseMsec: uint64(r[0] * r[1])}
		p.Responses[4] = uint64(r[2])
		p.Responses[1] = p.Requests - p.Responses[4]
		g.Peers = append(g.Peers, p)
	}
	return vts.Sample{At: time.Unix(1_700_000_000, 0), Interval: 3 * time.Second, Groups: []vts.GroupSample{g}}
}

// decide lets a policy observe a sample and choose.
func decide(p control.Policy, s vts.Sample) control.Decision {
	p.Observe(s, control.InForce(s))
	return p.Choose()
}

// commit tells a policy that what it wants is in force, and returns the weights of the group in the order of the
// sample.
func commit(p control.Policy, s vts.Sample, want weights.Set) []int {
	p.Committed(control.Receipt{Want: want, Changed: true, Reloaded: true})
	var out []int
	for _, peer := range s.Groups[0].Peers {
		out = append(out, want["g"][peer.Server].Weight.Int())
	}
	return out
}

func newTuner(t *testing.T, change func(*tuner.Config)) *tuner.Tuner {
	t.Helper()
	cfg := tuner.Config{Groups: map[string]tuner.GroupConfig{"g": {Deadline: 60 * time.Millisecond}},
		Regimes: load.RegimeConfig{Observe: -1}}
	if change != nil {
		change(&cfg)
	}
	p, err := tuner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryBoundIsAVisibleReason(t *testing.T) {
	equal, good := []int{1, 1, 1}, [3]float64{300, 20, 0}
	for _, c := range []struct {
		name   string
		bound  tuner.Bound
		change func(*tuner.Config)
		feed   func(*tuner.Tuner)
	}{
		{"equal servers: the weights in force are as good as any", gate.BoundDeadBand, nil, func(p *tuner.Tuner) {
			decide(p, synthetic(equal, good, good, good))
		}},
		{"a gain that does not pay", gate.BoundGain, func(c *tuner.Config) { c.MinGain = 0.99 }, func(p *tuner.Tuner) {
			for range 3 {
				decide(p, synthetic(equal, good, good, [3]float64{300, 60, 0}))
			}
		}},
		{"a dead band of 90 % swallows every change", gate.BoundDeadBand,
			func(c *tuner.Config) { c.DeadBand = 0.9 }, func(p *tuner.Tuner) {
				decide(p, synthetic(equal, good, good, [3]float64{300, 30, 0}))
			}},
		{"the gain has to last", gate.BoundPatience, nil, func(p *tuner.Tuner) {
			decide(p,
				synthetic(equal, good, good, [3]float64{300, 60, 0}))
		}},
		{"the weights are somebody else's", gate.BoundOperator, nil, func(p *tuner.Tuner) {
			decide(p, synthetic(equal, good, good, good))
			decide(p, synthetic([]int{7, 1, 1}, good, good, good))
		}},
		{"every server fails", gate.BoundAllFailing, nil, func(p *tuner.Tuner) {
			bad := [3]float64{300, 2, 290}
			for range 3 {
				decide(p, synthetic(equal, bad, bad, bad))
			}
		}},
		{"one server: nothing to choose", gate.BoundOne, nil, func(p *tuner.Tuner) {
			decide(p,
				synthetic([]int{1}, good))
		}},
		{"no requests", gate.BoundIdle, nil, func(p *tuner.Tuner) {
			decide(p,
				synthetic(equal, [3]float64{}, [3]float64{}, [3]float64{}))
		}},
		{"at most one server in ten is ejected", gate.BoundEject, func(c *tuner.Config) { c.Eject = true },
			func(p *tuner.Tuner) {
				bad := [3]float64{300, 2, 200}
				decide(p, synthetic(equal, good, bad, bad))
			}},
		{"no change is left", gate.BoundBudget, func(c *tuner.Config) { c.Burst = 1 }, func(p *tuner.Tuner) {
			rows := [][3]float64{good, good, {300, 60, 0}}
			w := equal
			for range 12 {
				s := synthetic(w, rows...)
				if d := decide(p, s); len(d.Weights) > 0 {
					w = commit(p, s, d.Weights)
					rows = [][3]float64{{300, 60, 0}, {300, 60, 0}, good}
				} else if bounded(p.Explain(), gate.BoundBudget) {
					return
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newTuner(t, c.change)
			c.feed(p)
			e := p.Explain()
			if !bounded(e, c.bound) {
				t.Errorf("got %+v, want bound %s", e.Pools, c.bound)
			}
			if text := words.Text(&e, words.Budget{}); !strings.Contains(text, c.bound.Words()) {
				t.Errorf("the text does not say %q:\n%s", c.bound.Words(), text)
			}
		})
	}
}

func TestTenRequestsAreNoEvidence(t *testing.T) {
	p := newTuner(t, nil)
	d := decide(p, synthetic([]int{1, 1, 1}, [3]float64{4, 20, 0}, [3]float64{4, 20, 0}, [3]float64{2, 300, 0}))
	if len(d.Weights) > 0 || d.Reason == "" {
		t.Errorf("two of ten requests took 300 ms instead of 20: got %v (%s), want a hold with its reason",
			d.Weights, d.Reason)
	}
}

func TestOperatorWins(t *testing.T) {
	good := [3]float64{300, 20, 0}
	p := newTuner(t, nil)
	decide(p, synthetic([]int{1, 1}, good, good))
	if d := decide(p, synthetic([]int{9, 1}, good, [3]float64{300, 90, 0})); len(d.Weights) > 0 {
		t.Errorf("the interval of an operator's edit is held: got %v", d.Weights)
	}
	left := p.Explain().Budget
	decide(p, synthetic([]int{9, 1}, good, good))
	if e := p.Explain(); bounded(e, gate.BoundOperator) {
		t.Errorf("the operator's weights are the new base: got another edit, %s", e.Reason)
	}
	if got := p.Explain().Budget; got != left {
		t.Errorf("an edit of the operator's is no change of the tuner's: %d changes left, want %d", got, left)
	}
}

func TestServersComeGoAndAreRenamed(t *testing.T) {
	p := newTuner(t, nil)
	good, slow := [3]float64{300, 20, 0}, [3]float64{300, 80, 0}
	changes := 0
	for i, rows := range [][][3]float64{{good, good}, {good, good}, {good, good, slow}, {good, slow}, {good}, {good, slow, good, good}} {
		current := []int{1, 1, 1, 1}[:len(rows)]
		for range 6 {
			s := synthetic(current, rows...)
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
			if len(d.Weights) > 0 {
				changes++
				current = commit(p, s, d.Weights)
			}
			if e := p.Explain(); len(e.Pools[0].Servers) != len(rows) {
				t.Fatalf("round %d: the explanation is of %d servers, want %d", i, len(e.Pools[0].Servers), len(rows))
			}
		}
	}
	if changes == 0 {
		t.Error("a server four times slower than its peers: got no change in any round")
	}
}

func TestIdenticalServersAreLeftAlone(t *testing.T) {
	for _, method := range []string{"round_robin", "least_conn"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.6, 10*time.Minute)
			w := newWorld(t, sc, 4, method)
			run(t, w, tunerFor(t, sc, method, nil))
			if len(w.changes) > 1 {
				t.Errorf("%d changes among identical servers, want at most 1", len(w.changes))
			}
		})
	}
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
	back.Version = tuner.SnapshotVersion + 1
	if err := pupil.Restore(back); !errors.Is(err, tuner.ErrSnapshotVersion) {
		t.Errorf("a snapshot of a newer version: got %v", err)
	}
	back.Version = tuner.SnapshotVersion
	back.Pools[0].Servers[0].Known.Slots = nil
	if err := pupil.Restore(back); err == nil {
		t.Error("a damaged snapshot is refused: got no error")
	}
}

func TestHeavyLoadFromEqualWeights(t *testing.T) {
	for _, use := range []float64{0.7, 0.85} {
		t.Run(fmt.Sprint(use), func(t *testing.T) {
			t.Parallel()
			sc := servers([]int{4, 8, 16}, []float64{1, 1, 1}, use, 90*time.Second)
			sc.Upstreams[0].Method = deathstarbench.RoundRobin
			w := newWorld(t, sc, 6, "")
			for _, iv := range run(t, w, tunerFor(t, sc, "", nil)) {
				if iv.end > 45*time.Second && iv.p99 > 300*time.Millisecond {
					t.Errorf("at %v: p99 %v, want the overload of the start worked off", iv.end, iv.p99)
				}
			}
			checkBudget(t, w.changes)
		})
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	err := tuner.Config{Headroom: 0.5, DeadBand: 2, Method: "random",
		Groups: map[string]tuner.GroupConfig{"g": {Priority: 0.1}}}.Validate()
	if err == nil {
		t.Fatal("a config with four faults is refused: got no error")
	}
	for _, want := range []string{"headroom", "dead_band", "method", "priority"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}
