package estimate_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
	"trimtab/tuner/queueing"
)

var poisson = queueing.Flow{Arrivals: 1, Service: 0.3}

// alone is a server without peers, and how irregular what it is asked is.
type alone struct {
	estimate.Member
	par params.Params
	rng *rand.Rand
}

func newAlone(seed uint64) *alone {
	return &alone{par: params.Default(), rng: rand.New(rand.NewPCG(seed, 5)),
		Member: estimate.Member{Server: estimate.NewServer(1), Group: []int{0}}}
}

// at lets it serve as many requests per second for n intervals of 3 s, as the model says, with noise between intervals.
func (a *alone) at(slots, serviceSec, rate, noise float64, n int) estimate.Belief {
	wait := queueing.Wait(rate*serviceSec/slots, slots, poisson)
	var b estimate.Belief
	for range n {
		b = a.shows(rate, serviceSec*(1+wait)*math.Exp(noise*a.rng.NormFloat64()), 3*rate)
	}
	return b
}

// shows lets it show so many completions per second, with a mean response time, of so many requests.
func (a *alone) shows(rate, responseSec, count float64) estimate.Belief {
	a.Observe(&a.par, 3, 1, poisson, []estimate.Reading{{DonePerSec: rate, ResponseSec: responseSec, Count: count}})
	return estimate.Believe(&a.par, []estimate.Member{a.Member}, 1)[0]
}

func TestServiceTimeAndSlotsAreRecovered(t *testing.T) {
	for _, c := range []struct {
		name           string
		slots, service float64
		loads          []float64 // utilisations visited
	}{
		{"2 slots of 20 ms, seen at 30 %, 60 % and 85 %", 2, 0.020, []float64{0.3, 0.6, 0.85}},
		{"8 slots of 40 ms, seen at 40 %, 80 % and 92 %", 8, 0.040, []float64{0.4, 0.8, 0.92}},
		{"32 slots of 10 ms, seen at 50 %, 90 % and 96 %", 32, 0.010, []float64{0.5, 0.9, 0.96}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAlone(uint64(c.slots))
			var b estimate.Belief
			for _, rho := range c.loads {
				b = a.at(c.slots, c.service, rho*c.slots/c.service, 0.03, 12)
			}
			if got, want := b.Capacity(0), c.slots/c.service; math.Abs(math.Log(got/want)) > math.Log(1.15) {
				t.Errorf("capacity got %.0f/s, want %.0f/s within 15 %%", got, want)
			}
			if got := b.Service(0); math.Abs(math.Log(got/c.service)) > math.Log(1.1) {
				t.Errorf("service time got %.1f ms, want %.1f ms within 10 %%", got*1e3, c.service*1e3)
			}
		})
	}
}

func TestABacklogShowsCapacity(t *testing.T) {
	if got := newAlone(1).shows(200, 0.9, 600).Capacity(0); got < 190 || got > 210 {
		t.Errorf("200 completions per second with a growing backlog: capacity got %.0f/s, want 200/s after one interval", got)
	}
}

func TestAChangeOfSpeedIsNoticedAndItsEnd(t *testing.T) {
	a := newAlone(3)
	for _, use := range []float64{0.4, 0.8, 0.5} {
		a.at(4, 0.020, use*200, 0.03, 10)
	}
	for _, c := range []struct {
		name      string
		service   float64
		low, high float64 // of what is believed after four intervals
	}{
		{"three times slower, at 60 % of four slots", 0.060, 0.045, 0.070},
		{"the fault has ended", 0.020, 0.017, 0.024},
	} {
		if got := a.at(4, c.service, 40, 0.03, 4).Service(0); got < c.low || got > c.high {
			t.Errorf("%s: service time got %.1f ms after four intervals, want %.0f to %.0f ms", c.name, got*1e3,
				c.low*1e3, c.high*1e3)
		}
	}
}

func TestAnOutlierPutsTheSpeedInDoubt(t *testing.T) {
	known := func() *alone {
		a := newAlone(3)
		for _, use := range []float64{0.4, 0.8, 0.95, 0.5} {
			a.at(4, 0.020, use*200, 0.03, 10)
		}
		return a
	}
	usual := func(a *alone) estimate.Belief { return a.at(4, 0.020, 100, 0.03, 1) }
	stopped := func(a *alone) estimate.Belief { return a.shows(66, 0.5, 200) } // a third of what it served, and a queue
	for _, c := range []struct {
		name      string
		play      func(*alone) estimate.Belief
		low, high float64 // of the factor by which it is expected to be slower
		from, to  float64 // of the capacity that is believed, of 200 per second
	}{
		{"a usual interval leaves none", usual, 1, 1, 150, 250},
		{"one interval may be a pause or a change", stopped, 1.5, 2.4, 120, 250},
		{"after a pause nothing is in doubt", func(a *alone) estimate.Belief { stopped(a); return usual(a) }, 1, 1,
			120, 250},
		{"what lasts is a change, and is believed", func(a *alone) estimate.Belief { stopped(a); return stopped(a) }, 1, 1,
			50, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.play(known())
			if got := b.Slowed(); got < c.low || got > c.high {
				t.Errorf("got it slower by a factor of %.2f, want %.2f to %.2f", got, c.low, c.high)
			}
			if got := b.Capacity(0); got < c.from || got > c.to {
				t.Errorf("capacity got %.0f/s, want %.0f to %.0f/s", got, c.from, c.to)
			}
		})
	}
}

// Sixteen equal servers, 30 requests each per interval: their noise must not look like a difference.
func TestAlikeServersStayAlike(t *testing.T) {
	par, rng := params.Default(), rand.New(rand.NewPCG(9, 9))
	var members []estimate.Member
	for range 16 {
		members = append(members, estimate.Member{Server: estimate.NewServer(1), Group: []int{0}})
	}
	var beliefs []estimate.Belief
	for range 7 {
		for _, m := range members {
			m.Observe(&par, 3, 1, queueing.Flow{Arrivals: 1.0 / 16, Service: 0.3},
				[]estimate.Reading{{DonePerSec: 10, ResponseSec: 0.020 * math.Exp(0.1*rng.NormFloat64()), Count: 30}})
		}
		beliefs = estimate.Believe(&par, members, 1)
	}
	low, high := math.Inf(1), 0.0
	for _, b := range beliefs {
		low, high = math.Min(low, b.Capacity(0)), math.Max(high, b.Capacity(0))
	}
	if high/low > 1.15 {
		t.Errorf("capacities of alike servers: got a ratio of %.2f, want at most 1.15", high/low)
	}
}

func TestDriftIsFollowed(t *testing.T) {
	for _, c := range []struct {
		name          string
		drift, spread float64 // per interval; standard deviation between intervals
	}{
		{"a speed that holds, 5 % between intervals", 0, 0.05},
		{"1.5 % slower with every interval, 5 % between intervals", 0.015, 0.05},
		{"1.5 % faster with every interval, 5 % between intervals", -0.015, 0.05},
	} {
		t.Run(c.name, func(t *testing.T) {
			worst := 0.0
			for seed := range uint64(20) {
				const slots, service, rate, n = 8, 0.020, 80, 25
				a := newAlone(seed)
				for _, use := range []float64{0.4, 0.7, 0.9} {
					a.at(slots, service, use*slots/service, 0.03, 12)
				}
				before := a.at(slots, service, rate, c.spread, 20).Service(0)
				var b estimate.Belief
				for i := range n {
					b = a.at(slots, service*math.Exp(c.drift*float64(i+1)), rate, c.spread, 1)
				}
				off := math.Log(b.Service(0)/before) - c.drift*n
				worst = math.Max(worst, math.Abs(off))
			}
			if most := 0.6*math.Abs(c.drift)*25 + 0.15; worst > most {
				t.Errorf("after 25 intervals the log service time is %.2f off in the worst of 20 runs, want at most %.2f", worst, most)
			}
		})
	}
}

func TestSnapshotsOfServers(t *testing.T) {
	a := newAlone(1)
	a.at(4, 0.02, 120, 0.03, 10)
	text, err := json.Marshal(a.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		damage  func(*estimate.Snapshot)
		classes int
		want    string // in the error; "": none
	}{
		{"as it was", func(*estimate.Snapshot) {}, 1, ""},
		{"of another number of classes", func(*estimate.Snapshot) {}, 2, "classes"},
		{"of fewer numbers of slots", func(s *estimate.Snapshot) { s.Slots = s.Slots[1:] }, 1, "slots"},
		{"without a class", func(s *estimate.Snapshot) { s.Slots[3].Variance = nil }, 1, "classes"},
		{"with a service time of aeons", func(s *estimate.Snapshot) { s.Slots[0].LogServiceSec[0] = 1e3 }, 1, "not usable"},
		{"with probabilities beyond one", func(s *estimate.Snapshot) { s.Slots[0].Probability += 0.5 }, 1, "sum to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s estimate.Snapshot
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			c.damage(&s)
			err := s.Check(c.classes)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b := &alone{par: a.par, rng: a.rng, Member: estimate.Member{Server: estimate.Restore(s), Group: []int{0}}}
			want, got := a.shows(120, 0.022, 360), b.shows(120, 0.022, 360)
			if math.Abs(math.Log(got.Capacity(0)/want.Capacity(0))) > 1e-9 {
				t.Errorf("it goes on with a capacity of %v, want %v", got.Capacity(0), want.Capacity(0))
			}
		})
	}
}

// A class that nobody asks for, at a server that serves another, hides nothing of the server.
func TestAnIdleClassLeavesTheServerKnown(t *testing.T) {
	par := params.Default()
	m := []estimate.Member{{Server: estimate.NewServer(2), Group: []int{0, 1}}}
	var b estimate.Belief
	for range 5 {
		m[0].Observe(&par, 3, 1, poisson, []estimate.Reading{{DonePerSec: 100, ResponseSec: 0.02, Count: 300}, {}})
		b = estimate.Believe(&par, m, 2)[0]
	}
	if len(b.Slots) == 0 || math.Abs(b.Service(0)-0.02) > 0.004 {
		t.Fatalf("got %+v, want a server of 20 ms", b)
	}
	if b.SD[1] < 0.5 || !(b.Service(1) > 0) {
		t.Errorf("the idle class takes %v s, known within %.2f, want some time that is hardly known", b.Service(1),
			b.SD[1])
	}
}

func TestASpeedThatHoldsIsNoChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		spread float64 // standard deviation between intervals
	}{
		{"5 % between intervals", 0.05},
		{"20 % between intervals", 0.20},
	} {
		t.Run(c.name, func(t *testing.T) {
			alarms := 0
			for seed := range uint64(20) {
				a := newAlone(seed)
				for i := range 220 {
					a.shows(100, 0.020*math.Exp(c.spread*a.rng.NormFloat64()), 300)
					if i >= 20 && a.Changed() {
						alarms++
						break
					}
				}
			}
			if alarms > 1 {
				t.Errorf("a change was noticed in %d of 20 runs of 200 intervals, want at most 1", alarms)
			}
		})
	}
}

// What shows of slots while nothing moves is the same over and over.
func TestWhatStandsStillIsLittleEvidenceOfSlots(t *testing.T) {
	surprise := func(doubted float64) float64 { // of the slots that are believed most
		a := newAlone(1)
		for i := range 60 {
			a.Observe(&a.par, 3, doubted, poisson, []estimate.Reading{{DonePerSec: 90, Count: 270,
				ResponseSec: 0.08 + 0.02*float64(i%2)}})
		}
		most := 0.0
		for _, h := range estimate.Believe(&a.par, []estimate.Member{a.Member}, 1)[0].Slots {
			most = max(most, h.Probability)
		}
		return most
	}
	if once, often := surprise(10), surprise(1); !(once < often) {
		t.Errorf("got the likeliest slots with %.2f from what stands still, and %.2f from what is new, want less", once,
			often)
	}
}

// Some servers differ more from one interval to the next than any model says. What is usual there is no change; what
// is far beyond it still is.
func TestAServerThatAlwaysVariesHasNotChanged(t *testing.T) {
	const long = 1200
	alarms, missed := 0, 0
	for seed := range uint64(10) {
		for _, spread := range []float64{0.2, 0.45} { // standard deviation between intervals
			a := newAlone(seed)
			varies := func(by float64) bool {
				a.shows(100, by*0.020*math.Exp(spread*a.rng.NormFloat64()), 300)
				return a.Changed()
			}
			for i := range long {
				if varies(1) && i > long/2 {
					alarms++
				}
			}
			found := spread > 0.2
			for range 10 {
				found = varies(8) || found
			}
			if !found {
				missed++
			}
		}
	}
	if alarms > 3 || missed > 1 {
		t.Errorf("got %d alarms in 20 half hours in which nothing changed, and %d of 10 servers that are eight times as "+
			"slow missed, want 3 and 1 at most", alarms, missed)
	}
}

// Two classes at a saturated server, the second with three completions: how capacity is split between them comes from
// what is typical of each, not from those three.
func TestFewCompletionsProveLittle(t *testing.T) {
	learn := func(seconds float64) float64 {
		par := params.Default()
		s := estimate.NewServer(2)
		s.Observe(&par, 3, 1, poisson, []estimate.Reading{
			{DonePerSec: 8, ResponseSec: 2, Count: 8 * seconds, TypicalSec: 0.040}, {DonePerSec: 1, ResponseSec: 2,
				Count: seconds, TypicalSec: 0.020}})
		return estimate.Believe(&par, []estimate.Member{{Server: s, Group: []int{0, 1}}}, 2)[0].Capacity(0)
	}
	few, many := learn(1), learn(1000)
	if math.Abs(math.Log(many/8)) > 0.3 || many >= few {
		t.Errorf("8 completions per second of a class, full use: capacity got %.1f/s from a second and %.1f/s from a thousand, want the second about 8/s and below the first", few, many)
	}
}
