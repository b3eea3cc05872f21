package gate

import (
	"math"
	"strings"
	"testing"

	"trimtab/tuner/params"
)

func full() Budget { return Budget{Level: 6, Most: 6, RefillSec: 30} }

func TestBudget(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(*Budget)
		left int
		// price of a change that gains 3 % at least with a full budget
		price float64
	}{
		{"a full one asks for the least gain", func(*Budget) {}, 6, 0.03},
		{"each change makes the next one dearer, by the square", func(b *Budget) { b.Spend(); b.Spend() }, 4,
			0.03 * 36 / 16},
		{"the last change is kept for what is worth it", func(b *Budget) {
			for range 5 {
				b.Spend()
			}
		}, 1, 0.03 * 36},
		{"without a change left nothing is worth it", func(b *Budget) {
			for range 9 {
				b.Spend()
			}
		}, 0, math.Inf(1)},
		{"what an emergency borrowed is paid back first", func(b *Budget) {
			for range 8 {
				b.Spend()
			}
			b.Advance(60)
		}, 0, math.Inf(1)},
		{"two changes come back in a minute", func(b *Budget) {
			for range 6 {
				b.Spend()
			}
			b.Advance(60)
		}, 2, 0.03 * 36 / 4},
		{"it holds no more than it holds", func(b *Budget) { b.Advance(1e6) }, 6, 0.03},
		{"time does not run backwards", func(b *Budget) { b.Spend(); b.Advance(-600) }, 5, 0.03 * 36 / 25},
		{"a live actuator has no budget", func(b *Budget) {
			b.Unlimited = true
			for range 9 {
				b.Spend()
			}
		}, 6, 0.03},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := full()
			c.play(&b)
			if got := b.Left(); got != c.left {
				t.Errorf("got %d changes left, want %d", got, c.left)
			}
			if got := b.Price(0.03); got != c.price && math.Abs(got-c.price) > 1e-9 {
				t.Errorf("got a price of %v, want %v", got, c.price)
			}
		})
	}
}

func TestAnEmergencyBorrowsAsManyChangesAsABudgetHolds(t *testing.T) {
	p := params.Default()
	b := full()
	s := State{SinceSec: p.HorizonSec / 4}
	made := 0
	for range 30 {
		if !s.Judge(&p, &b, Question{GainShare: 0.9, Differs: true, Urgent: true}).Pass {
			break
		}
		b.Spend()
		made++
	}
	if want := int(2 * b.Most); made != want {
		t.Errorf("got %d changes in an emergency, want %d: those of the budget, and as many lent", made, want)
	}
	s.SinceSec = p.HorizonSec / 2
	if !s.Judge(&p, &b, Question{GainShare: 0.9, Differs: true, Urgent: true}).Pass {
		t.Error("requests wait in vain for longer than half a horizon")
	}
	s.LastedSec = 1000
	if b.Advance(b.Most * b.RefillSec); s.Judge(&p, &b, Question{GainShare: 0.9, Differs: true}).Pass {
		t.Error("a change that is no emergency passes before what was lent is paid back")
	}
	if b.Advance(b.Most * b.RefillSec); !s.Judge(&p, &b, Question{GainShare: 0.9, Differs: true}).Pass {
		t.Error("no change passes after what was lent has been paid back")
	}
}

func TestJudge(t *testing.T) {
	p := params.Params{MinGain: 0.03, QuietSec: 120, QuietMost: 10, Persistence: 4, SettleSec: 1.5}
	good := Question{GainShare: 0.2, Differs: true}
	for _, c := range []struct {
		name  string
		state State
		level float64
		q     Question
		want  Bound // "": it passes
	}{
		{"a gain that has lasted passes", State{LastedSec: 6, SinceSec: 100}, 6, good, ""},
		{"one that has not waits", State{LastedSec: 3, SinceSec: 100}, 6, good, BoundPatience},
		{"a change that is not worth writing", State{LastedSec: 6, SinceSec: 100}, 6, Question{GainShare: 0.9},
			BoundDeadBand},
		{"a gain that does not pay", State{LastedSec: 6, SinceSec: 100}, 6,
			Question{GainShare: 0.02, Differs: true}, BoundGain},
		{"a gain that would pay with a full budget", State{LastedSec: 6, SinceSec: 100}, 2, good, BoundGain},
		{"no change left", State{LastedSec: 6, SinceSec: 100}, 0.9, good, BoundBudget},
		{"after a change nothing is judged", State{LastedSec: 6, SinceSec: 1, Changes: 1}, 6, good, BoundSettle},
		{"before the first one there is nothing to settle", State{LastedSec: 6, SinceSec: 1}, 6, good, ""},
		{"in a quiet hour a gain must last longer", State{LastedSec: 39, SinceSec: 100}, 6,
			Question{GainShare: 0.5, Differs: true, QuietSec: 3600}, BoundPatience},
		{"and when it has it passes", State{LastedSec: 41, SinceSec: 100}, 6,
			Question{GainShare: 0.5, Differs: true, QuietSec: 3600}, ""},
		{"and be larger", State{LastedSec: 41, SinceSec: 100}, 6, Question{GainShare: 0.25, Differs: true,
			QuietSec: 3600}, BoundGain},
		{"a change for the worse", State{LastedSec: 6, SinceSec: 100}, 6, Question{GainShare: -5, Differs: true},
			BoundGain},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := full()
			b.Level = c.level
			before := c.state
			v := c.state.Judge(&p, &b, c.q)
			if v.Bound != c.want || v.Pass != (c.want == "") {
				t.Errorf("got %+v, want bound %q", v, c.want)
			}
			if c.want != "" && (v.Reason == "" || strings.Contains(v.Reason, "Inf")) {
				t.Errorf("got the reason %q, want one for people", v.Reason)
			}
			if c.state != before || b.Level != c.level {
				t.Errorf("judging changed %+v to %+v, and the budget to %v", before, c.state, b.Level)
			}
		})
	}
}

func TestNothingIsChangedForRequestsNowAndThen(t *testing.T) {
	p := params.Params{MinGain: 0.03, QuietSec: 120, QuietMost: 10, Persistence: 4, SettleSec: 1.5}
	emergency := Question{GainShare: 0.9, Differs: true, Urgent: true}
	for _, c := range []struct {
		name string
		asks string // by intervals of 200 ms: x somebody asks, - nobody
		want Bound
	}{
		{"an emergency of a steady load", "xxxx", ""},
		{"one request after a pause", "-----x", BoundIdle},
		{"one in three intervals", "--x--x--x--x--x", BoundIdle},
		{"a pause in a load that is dense", "xxx-xxx-x-xxx", ""},
		{"a load that came back, for longer than the pause", "---xxxx", ""},
		{"an hour without requests is over after a few seconds of them",
			strings.Repeat("-", 18000) + strings.Repeat("x", 21), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s State
			b := full()
			for _, v := range c.asks {
				if v == 'x' {
					s.Observe(&p, &b, 0.2, emergency)
				} else {
					s.Idle(&p, 0.2)
				}
			}
			if v := s.Judge(&p, &b, emergency); v.Bound != c.want {
				t.Errorf("got %+v, want bound %q", v, c.want)
			}
		})
	}
}

func TestPatienceBeginsAnew(t *testing.T) {
	p := params.Params{MinGain: 0.03, QuietSec: 120, QuietMost: 10, Persistence: 4, SettleSec: 1.5}
	pays, not := Question{GainShare: 0.2, Differs: true}, Question{GainShare: 0.01, Differs: true}
	for _, c := range []struct {
		name    string
		seconds float64
		seen    []Question
		want    float64 // s that a gain has lasted
	}{
		{"two intervals of 3 s", 3, []Question{pays, pays}, 6},
		{"one of five minutes", 300, []Question{pays}, 300},
		{"eight of half a second", 0.5, []Question{pays, pays, pays, pays, pays, pays, pays, pays}, 4},
		{"an interval without a gain", 3, []Question{pays, pays, not, pays}, 3},
		{"the same weights", 3, []Question{pays, {GainShare: 0.2}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s State
			b := full()
			for _, q := range c.seen {
				s.Observe(&p, &b, c.seconds, q)
			}
			if s.LastedSec != c.want || s.SinceSec != c.seconds*float64(len(c.seen)) {
				t.Errorf("got %+v, want a gain that lasted %v s", s, c.want)
			}
			if s.Committed(); s != (State{Changes: 1}) {
				t.Errorf("after a change: got %+v, want nothing but its count", s)
			}
		})
	}
}

func committed(e *Ejection, down bool, part, at float64) {
	if down {
		e.Out(part, 0, at)
	} else {
		e.Back(false, at)
	}
}

func TestEjection(t *testing.T) {
	var e Ejection
	for _, c := range []struct {
		name string
		at   float64
		down bool
		wait float64
		due  float64 // when it is tried again
	}{
		{"the first time for 20 s", 100, true, 20, 120},
		{"it is let back", 120, false, 20, math.Inf(1)},
		{"a relapse doubles the wait", 130, true, 40, 170},
		{"it is let back again", 170, false, 40, math.Inf(1)},
		{"and doubles again", 171, true, 80, 251},
		{"told again it stays as it is", 220, true, 80, 251},
		{"let back", 251, false, 80, math.Inf(1)},
		{"after a good while the next one is the first", 251 + 321, true, 20, 251 + 321 + 20},
	} {
		if committed(&e, c.down, 0.3, c.at); e.Active != c.down || e.WaitSec != c.wait {
			t.Fatalf("%s: got %+v, want active %t and a wait of %v s", c.name, e, c.down, c.wait)
		}
		if !math.IsInf(c.due, 1) && (e.Due(c.due-1) || !e.Due(c.due)) || math.IsInf(c.due, 1) && e.Due(1e9) {
			t.Errorf("%s: due at %v, want at %v", c.name, e, c.due)
		}
		if e.Fails(0.9, c.at) == c.down || e.Fails(0.1, c.at) {
			t.Errorf("%s: a server that is out fails no more, one that is in does at nine tenths of its requests",
				c.name)
		}
	}
}

func TestCheapRelapsesAreTriedAgainAsSoon(t *testing.T) {
	var e Ejection
	for i, at := range []float64{0, 25, 50, 75} {
		committed(&e, true, 0.03, at)
		if e.Due(at+19) || !e.Due(at+20) {
			t.Errorf("relapse %d: got %+v, want it tried after 20 s", i, e)
		}
		committed(&e, false, 0, at+20)
	}
}

func TestServersThatAreAskedAreLetBackWhenTheyAnswer(t *testing.T) {
	var e Ejection
	due := func(at float64, answers bool) bool {
		e.Asked, e.Answers = true, answers
		return e.Due(at)
	}
	committed(&e, true, 0.5, 0)
	if due(500, false) {
		t.Error("it does not answer: got it tried by requests")
	}
	if !due(501, true) {
		t.Error("it answers: want it let back at once")
	}
	committed(&e, false, 0, 501)
	committed(&e, true, 0.5, 504)
	if !e.Misled || due(505, true) || !due(504+e.WaitSec, true) || due(504+e.WaitSec, false) {
		t.Errorf("it answers, and fails: got %+v, want its answers to count after the wait only", e)
	}
	e.Asked = false
	if e.Due(504+e.WaitSec-1) || !e.Due(504+e.WaitSec) {
		t.Error("nobody asks any more: want it tried when the wait is over")
	}
}

func TestAnEjectionInVainIsNotRepeatedForTwoWaits(t *testing.T) {
	var e Ejection
	e.Out(0.5, 6, 100)
	if e.Dearer(6.5) || !e.Dearer(7.5) {
		t.Errorf("got %+v: want what costs a deadline more than before, and nothing less, to be dearer", e)
	}
	e.Back(true, 104)
	if e.Active || e.Fails(1, 105) || e.Fails(1, 104+2*e.WaitSec-1) || !e.Fails(1, 104+2*e.WaitSec) {
		t.Errorf("got %+v, want it left alone for %v s", e, 2*e.WaitSec)
	}
	e.Out(0.5, 6, 144)
	e.Back(true, 148)
	if e.WaitSec != 40 || !e.InVain(227) || e.InVain(228) {
		t.Errorf("got %+v, want twice the wait the second time", e)
	}
	e.Out(0.5, 6, 228)
	e.Back(false, 400)
	if e.InVain(401) {
		t.Errorf("got %+v: it was let back when its time was over, which is not in vain", e)
	}
}

func TestMostEjected(t *testing.T) {
	for _, c := range []struct{ servers, want int }{{2, 1}, {9, 1}, {10, 1}, {20, 2}, {200, 20}} {
		if got := MostEjected(c.servers); got != c.want {
			t.Errorf("%d servers: got %d, want %d", c.servers, got, c.want)
		}
	}
}

func TestEveryBoundHasWords(t *testing.T) {
	for _, b := range []Bound{BoundDeadBand, BoundBudget, BoundGain, BoundPatience, BoundSettle, BoundStale, BoundEject, BoundOperator,
		BoundAllFailing, BoundIdle, BoundUnknown, BoundOne, BoundTurn} {
		if b.Words() == "" {
			t.Errorf("%s has no words", b)
		}
	}
}
