package tuner_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/tuner"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
)

// restarts is a policy that is stopped, kept as JSON and restored by a new one before some of its intervals.
type restarts struct {
	control.Policy
	t      *testing.T
	fresh  func() *tuner.Tuner
	now    *tuner.Tuner
	before func(interval int) bool
	n      int
}

func (r *restarts) next() {
	if r.n++; !r.before(r.n) {
		return
	}
	s, err := r.now.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	r.now = restored(r.t, s, r.fresh())
	r.Policy = r.now
}

// restored restores a tuner from a snapshot that was text meanwhile.
func restored(t *testing.T, s tuner.Snapshot, p *tuner.Tuner) *tuner.Tuner {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back tuner.Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if err := p.Restore(back); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARestartChangesNoDecision(t *testing.T) {
	fails := func() *deathstarbench.Scenario {
		sc := servers([]int{4, 4, 4}, []float64{1, 1, 1}, 0.5, 5*time.Minute)
		sc.Faults = []deathstarbench.Fault{{Server: "s00", Kind: deathstarbench.Error, Probability: 0.5,
			Latency: ms(1), At: ms(60_000), Until: ms(150_000)}}
		return sc
	}
	seldom := func() *deathstarbench.Scenario { // then fails less than what it is left next to nothing for
		sc := fails()
		sc.Faults[0].Until = ms(110_000)
		sc.Faults = append(sc.Faults, deathstarbench.Fault{Server: "s00", Kind: deathstarbench.Error,
			Probability: 0.18, Latency: ms(1), At: ms(110_000), Until: ms(250_000)})
		return sc
	}
	brown := func() *deathstarbench.Scenario {
		sc := mixed("brown-out", []int{2, 4, 8}, []float64{1, 1, 1}, 0.7, 5*time.Minute)
		sc.Faults = []deathstarbench.Fault{{Server: "s01", Kind: deathstarbench.Slowdown, Factor: 2, At: ms(120_000),
			Until: ms(200_000)}}
		return sc
	}
	for _, c := range []struct {
		name, method string
		scenario     func() *deathstarbench.Scenario
		before       func(int) bool
		ejects       bool
	}{
		{"round robin that is started anew every half minute", "round_robin", brown,
			func(n int) bool { return n%10 == 0 }, false},
		{"least connections that are started anew before every interval", "least_conn", brown,
			func(int) bool { return true }, false},
		{"a server that is ejected and let back by others than began", "least_conn", fails,
			func(n int) bool { return n%7 == 0 }, true},
		{"round robin that is started anew before every interval leaves a server that fails next to nothing",
			"round_robin", seldom, func(int) bool { return true }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := c.scenario()
			play := func(before func(int) bool) []interval {
				fresh := func() *tuner.Tuner {
					return tunerFor(t, sc, c.method, func(cfg *tuner.Config) { cfg.Eject = c.ejects })
				}
				p := fresh()
				r := &restarts{Policy: p, t: t, fresh: fresh, now: p, before: before}
				w := newWorld(t, sc, 3, c.method)
				w.stepped = r.next
				return run(t, w, r)
			}
			whole, parts := play(func(int) bool { return false }), play(c.before)
			changes, out := 0, 0
			for i := range whole {
				a, b := whole[i].outcome.Decision, parts[i].outcome.Decision
				if a.Reason != b.Reason || !a.Weights.Equal(b.Weights) {
					t.Fatalf("at %v: got %v (%s) after restarts, want %v (%s) as without", whole[i].end, b.Weights,
						b.Reason, a.Weights, a.Reason)
				}
				if len(a.Weights) > 0 {
					changes++
				}
				for _, s := range whole[i].weights["compose_backend"] {
					if s.Down {
						out++
					}
				}
			}
			if changes < 2 || c.ejects != (out > 0) {
				t.Errorf("got %d changes and %d intervals of a server that is down: nothing to compare", changes, out)
			}
		})
	}
}

func TestWhatIsRestoredOfAStanding(t *testing.T) {
	good, slow := [3]float64{300, 20, 0}, [3]float64{300, 80, 0}
	learn := func() (*tuner.Tuner, []int) {
		p := newTuner(t, nil)
		current := []int{1, 1}
		for i := range 10 {
			s := synthetic(current, good, slow)
			s.At = s.At.Add(time.Duration(3*i) * time.Second)
			if d := decide(p, s); len(d.Weights) > 0 {
				current = commit(p, s, d.Weights)
			}
		}
		return p, current
	}
	for _, c := range []struct {
		name  string
		after time.Duration // the next sample
		found []int         // weights; nil: those that were left
		left  int           // changes
	}{
		{"at once the budget is what it was", 30 * time.Second, nil, 0},
		{"an hour later it is full", time.Hour, nil, 6},
		{"a clock that was put back lets no time pass", -time.Hour, nil, 0},
		{"weights of somebody else are no edit that is held against them", 30 * time.Second, []int{50, 49}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, current := learn()
			before := from.Explain().Budget
			if before >= 6 || before < 1 {
				t.Fatalf("got %d changes left of 6, want some spent and some left", before)
			}
			s, err := from.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if c.found != nil {
				current = c.found
			}
			p := restored(t, s, newTuner(t, nil))
			next := synthetic(current, good, slow)
			next.At = next.At.Add(c.after)
			decide(p, next)
			want := before
			if c.left > 0 {
				want = c.left
			}
			if got := p.Explain().Budget; got != want {
				t.Errorf("got %d changes left, want %d", got, want)
			}
			if bounded(p.Explain(), gate.BoundOperator) {
				t.Errorf("got %s, want no edit", p.Explain().Reason)
			}
		})
	}
}

func TestSnapshotsThatAreNotSoundAreRefused(t *testing.T) {
	good := [3]float64{300, 20, 0}
	p := newTuner(t, nil)
	decide(p, synthetic([]int{1, 1}, good, good))
	for _, c := range []struct {
		name  string
		spoil func(*tuner.Snapshot)
	}{
		{"less than no time", func(s *tuner.Snapshot) { s.ElapsedSec = -1 }},
		{"a wait for a server that never ends",
			func(s *tuner.Snapshot) { s.Pools[0].Groups[0].Links[0].Eject.WaitSec = math.Inf(1) }},
		{"a deadline that is no time", func(s *tuner.Snapshot) { s.Pools[0].Groups[0].DeadlineMsec = math.NaN() }},
		{"a deadline that is over", func(s *tuner.Snapshot) { s.Pools[0].Groups[0].DeadlineMsec = -1 }},
		{"a rate that is no number", func(s *tuner.Snapshot) { s.Pools[0].Groups[0].Rate.Mean = math.NaN() }},
		{"a server with a negative variance",
			func(s *tuner.Snapshot) { s.Pools[0].Servers[0].Known.Slots[0].Variance[0] = -1 }},
		{"a server with evidence that is no number",
			func(s *tuner.Snapshot) { s.Pools[0].Servers[0].Known.Slots[0].Evidence = math.NaN() }},
		{"a visit of a negative length", func(s *tuner.Snapshot) { s.Forecast = &load.Forecast{Visit: load.Visit{Sec: -1}} }},
		{"a server without its classes", func(s *tuner.Snapshot) { s.Pools[0].Servers[0].Known.FailShare = nil }},
		{"a visit with an action that nobody knows",
			func(s *tuner.Snapshot) { s.Pools[0].Visit = tuner.Visit{Action: "jump"} }},
		{"a score of more errors than intervals",
			func(s *tuner.Snapshot) { s.Pools[0].ForecastScore.Errors = []float64{0.1} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := p.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(&s)
			if err := newTuner(t, nil).Restore(s); err == nil {
				t.Error("got no error, want a snapshot that is refused")
			}
		})
	}
}

// A server that is added, and a tuner that is begun anew, make nobody forget that another one fails.
func TestAServerThatIsAddedClearsNobody(t *testing.T) {
	good, fails := [3]float64{300, 20, 0}, [3]float64{300, 20, 150}
	for _, c := range []struct {
		name    string
		restart bool
	}{{"while the tuner goes on", false}, {"while it is restarted with what it knew", true}} {
		t.Run(c.name, func(t *testing.T) {
			p := newTuner(t, nil)
			current := []int{50, 50}
			for range 4 {
				s := synthetic(current, good, fails)
				if d := decide(p, s); len(d.Weights) > 0 {
					current = commit(p, s, d.Weights)
				}
			}
			s := synthetic(append(current, current[0]), good, [3]float64{1, 20, 0}, good)
			if c.restart {
				known, err := p.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				p = restored(t, known, newTuner(t, nil))
			}
			decide(p, s)
			if got := p.Explain().Pools[0].Servers[1].Errors; got < 0.1 {
				t.Errorf("got %.3f as the share of failures of the server that fails, want what it was", got)
			}
		})
	}
}
