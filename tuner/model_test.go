package tuner

import (
	"math"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/vts"
)

// TestWaitsAreThoseOfTheTwin measures the mean wait at servers of 2, 4 and 8 slots behind a smooth round robin by capacity and
// compares it with the formula, for one class of requests and for three.
func TestWaitsAreThoseOfTheTwin(t *testing.T) {
	sc, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	w := newWaits()
	const seconds = 300
	for _, classes := range []int{1, 3} {
		for _, load := range []float64{0.75, 0.85, 0.92} {
			c := *sc
			c.Upstreams = append([]deathstarbench.Upstream(nil), sc.Upstreams[:classes]...)
			c.Loads = append([]deathstarbench.Traffic(nil), sc.Loads[:classes]...)
			c.Duration, c.Faults = deathstarbench.Duration(seconds*time.Second), nil
			work, slots := 0.0, 0
			for _, s := range c.Servers {
				slots += s.Slots
			}
			for i := range c.Loads {
				work += c.Loads[i].Phases[0].Rate * c.Servers[0].Service[c.Loads[i].Workload].Std().Seconds()
			}
			var weights []int
			for _, s := range c.Servers {
				weights = append(weights, s.Slots)
			}
			for i := range c.Loads {
				c.Upstreams[i].Weights = weights
				c.Loads[i].Phases = []deathstarbench.Phase{{Rate: c.Loads[i].Phases[0].Rate * load * float64(slots) / work}}
			}
			spent, used, square, done := make([]float64, len(c.Servers)), make([]float64, len(c.Servers)), make([]float64, len(c.Servers)), make([]float64, len(c.Servers))
			run, err := sim.New(&c, sim.Options{Seed: 11})
			if err != nil {
				t.Fatal(err)
			}
			for !run.Done() {
				sample, err := run.Step()
				if err != nil {
					t.Fatal(err)
				}
				for g, gs := range sample.Groups {
					for i, p := range gs.Peers {
						v, n := c.Servers[i].Service[c.Upstreams[g].Workload].Std().Seconds(), float64(p.Requests)
						done[i] += n
						spent[i] += float64(p.ResponseMsec) / 1e3
						used[i] += n * v
						square[i] += n * v * v * 1.25 // the servers' coefficient of variation is 0.5
					}
				}
			}
			for i, s := range c.Servers {
				h := 0
				for slotGrid[h] != float64(s.Slots) {
					h++
				}
				mean, rho := used[i]/done[i], used[i]/seconds/float64(s.Slots)
				unit, _ := w.at(h, rho, flow{float64(s.Slots) / float64(slots), square[i]/done[i]/(mean*mean) - 1})
				got, want := (spent[i]-used[i])/done[i], unit*mean
				if math.Abs(got-want) > 0.35*want+0.5e-3 {
					t.Errorf("%d classes, %.0f %% load, server of %d slots: the wait is %.2f ms, the formula says %.2f ms, want it within 35 %% and half a millisecond",
						classes, 100*load, s.Slots, got*1e3, want*1e3)
				}
			}
		}
	}
}

// TestQueuesOfAYoungLoad starts a server of four slots empty at full use, many times, and compares what waits there in the first
// seconds with the bound: the mean is half of it, and it is rarely exceeded.
func TestQueuesOfAYoungLoad(t *testing.T) {
	const slots, service, runs = 4, 0.020, 200
	for _, seconds := range []float64{3, 12, 48} {
		sum, beyond, bound := 0.0, 0, 0.0
		for seed := range uint64(runs) {
			sc := &deathstarbench.Scenario{Name: "young", Duration: deathstarbench.Duration(seconds * 1e9), ControlInterval: deathstarbench.Duration(seconds * 1e9),
				Servers: []deathstarbench.Server{{Name: "a", Slots: slots, ServiceCV: 0.5, QueueLimit: 100000,
					Service: map[string]deathstarbench.Duration{"compose-post": deathstarbench.Duration(service * 1e9)}}},
				Upstreams: []deathstarbench.Upstream{{Name: "u", Workload: "compose-post", Servers: []string{"a"}, Weights: []int{1}, Method: deathstarbench.RoundRobin}},
				Loads:     []deathstarbench.Traffic{{Workload: "compose-post", Arrival: "exp", Phases: []deathstarbench.Phase{{Rate: slots / service}}}}}
			run, err := sim.New(sc, sim.Options{Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			sample, err := run.Step()
			if err != nil {
				t.Fatal(err)
			}
			peer := sample.Groups[0].Peers[0]
			wait := float64(peer.ResponseMsec)/1e3/float64(peer.Requests) - service
			p := point{rate: []float64{slots / service}, stay: seconds}
			unit, _, decides := p.soFar(1e9, 0, service, 1, flow{1, 0.25})
			if decides < 0.99 {
				t.Fatalf("nothing but the bound is known: it decides %.2f, want 1", decides)
			}
			bound = unit * service
			sum += wait / runs
			if wait > bound {
				beyond++
			}
		}
		if math.Abs(sum-bound/2) > 0.25*bound/2 {
			t.Errorf("%v s at full use: the mean wait is %.1f ms, half the bound %.1f ms, want it within a quarter", seconds, sum*1e3, bound/2*1e3)
		}
		if beyond > runs/10 {
			t.Errorf("%v s at full use: the wait exceeds %.1f ms in %d of %d runs, want at most a tenth", seconds, bound*1e3, beyond, runs)
		}
	}
}

// TestYoungQueuesHaveTheSlopeOfTheirWait compares the derivative that the fit uses with differences, and what joins the bound and the
// steady wait with either where it alone decides.
func TestYoungQueuesHaveTheSlopeOfTheirWait(t *testing.T) {
	w, v := newWaits(), flow{0.3, 0.6}
	for h := range slotGrid {
		for _, rho := range []float64{0.3, 0.8, 0.95, 1.05, 1.3} {
			const mean, step = 0.02, 1e-5
			p := point{rate: []float64{40, 60}, stay: 3}
			at := func(rho float64) (wait, slope float64) {
				unit, steep := w.at(h, rho, v)
				wait, slope, _ = p.soFar(unit, steep, mean, rho, v)
				return wait, slope
			}
			wait, slope := at(rho)
			next, _ := at(rho + step)
			if d := (next - wait) / step; math.Abs(d-slope) > 0.03*math.Abs(d)+1e-2 {
				t.Errorf("%v slots at %v: slope got %v, want %v", slotGrid[h], rho, slope, d)
			}
			unit, _ := w.at(h, rho, v)
			if wait > unit {
				t.Errorf("%v slots at %v: a young queue waits %v, want at most the %v of a steady one", slotGrid[h], rho, wait, unit)
			}
			if p.stay = 1e7; rho < 0.9 {
				if old, _ := at(rho); math.Abs(old-unit) > 0.01*unit+1e-6 {
					t.Errorf("%v slots at %v, after months: got %v, want the steady %v", slotGrid[h], rho, old, unit)
				}
			}
		}
	}
}

func TestRegularArrivalsWaitLess(t *testing.T) {
	w := newWaits()
	for h, c := range slotGrid {
		for _, rho := range []float64{0.3, 0.6, 0.9} {
			poisson, _ := w.at(h, rho, flow{1, 0.4})
			split, slope := w.at(h, rho, flow{0.1, 0.4})
			if split >= poisson {
				t.Errorf("%v slots at %v: a tenth of a stream waits %v, want less than the %v of a Poisson stream", c, rho, split, poisson)
			}
			const step = 1e-4
			next, _ := w.at(h, rho+step, flow{0.1, 0.4})
			if d := (next - split) / step; math.Abs(d-slope) > 0.05*d+1e-3 {
				t.Errorf("%v slots at %v: slope got %v, want %v", c, rho, slope, d)
			}
		}
	}
}

// TestPlansDoNotCountOnSlotsNobodyHasSeen: quiet servers may have any number of slots. A plan counts on what is certain, or on so
// many times what was carried.
func TestPlansDoNotCountOnSlotsNobodyHasSeen(t *testing.T) {
	s := oneStation()
	h := 5 // 8 slots
	for _, c := range []struct {
		about              string
		proven, sure, want float64
	}{
		{"seen at 40 %, two slots for sure", 0.4, 2, 0.72},
		{"seen at 40 %, seven slots for sure", 0.4, 7, 0.875},
		{"seen at 80 %", 0.8, 1, 1},
		{"never seen", 0, 1, 0.125},
	} {
		s.fit[h].proven, s.sure = c.proven, c.sure
		got := s.believed(h, calmReach)
		if math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: counts on %v of full use, want %v", c.about, got, c.want)
		}
		if use, _ := s.stretch(h, got, calmReach); math.Abs(use-1) > 1e-6 && c.want < 1 {
			t.Errorf("%s: what is believed counts as %v of full use, want 1", c.about, use)
		}
		if use, steep := s.stretch(h, c.proven, calmReach); use != c.proven || steep != 1 {
			t.Errorf("%s: what was carried counts as %v (slope %v), want itself", c.about, use, steep)
		}
	}
}

// TestFewCompletionsProveLittle: two classes at a saturated server, the second with three completions. The split between the classes
// comes from what is expected of them, not from those three.
func TestFewCompletionsProveLittle(t *testing.T) {
	w := newWaits()
	a, b := &group{name: "a", cv2: 0.3, typical: 0.040, method: RoundRobin}, &group{name: "b", cv2: 0.3, typical: 0.020, method: RoundRobin}
	s := &station{every: true}
	for i, g := range []*group{a, b} {
		l := &link{group: g, station: s, pos: i}
		g.links, s.links = []*link{l}, append(s.links, l)
	}
	learn := func(seconds float64) float64 {
		s.points, s.likely, s.fits = nil, nil, 0
		s.fit = [slotChoices]fitted{}
		s.learn(seen{rate: []float64{20, 20}, done: []float64{8, 1}, latency: []float64{2, 2}, count: []float64{8 * seconds, seconds}, full: true})
		e := &expectation{typical: []float64{0.040, 0.020}, weight: []float64{25, 25}, stiff: 1}
		s.refit(w, e, s.variances())
		return s.capacity(0, 100, false)
	}
	if few, many := learn(1), learn(1000); math.Abs(math.Log(many/8)) > 0.3 || many >= few {
		t.Errorf("8 completions per second of a class, full use: capacity got %.1f/s from a second and %.1f/s from a thousand, want the second about 8/s and below the first", few, many)
	}
}

// TestARisingLoadIsNotBlamedOnTheWeights: two bad intervals bring the weights of before back only if those would not be worse.
func TestARisingLoadIsNotBlamedOnTheWeights(t *testing.T) {
	tune, err := New(Config{Groups: map[string]GroupConfig{"g": {Deadline: 60 * time.Millisecond}}, Regimes: RegimeConfig{Observe: -1}})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1.7e9, 0)
	for range 5 {
		s := vts.Sample{At: at, Interval: 3 * time.Second, Groups: []vts.GroupSample{{Name: "g"}}}
		for _, p := range []struct {
			server  string
			n, msec uint64
			weight  int
		}{{"10.0.0.1:80", 900, 18000, 3}, {"10.0.0.2:80", 300, 24000, 1}} {
			s.Groups[0].Peers = append(s.Groups[0].Peers, vts.PeerSample{Server: p.server, Weight: p.weight, Requests: p.n, ResponseMsec: p.msec})
		}
		tune.Hold("test")
		tune.Decide(Observation{Sample: s, Current: control.InForce(s)})
		at = at.Add(3 * time.Second)
	}
	p := tune.topo.pools[0]
	now, _ := p.shares()
	p.bad = badNeeded
	for _, c := range []struct {
		about  string
		before []float64
		want   bool
	}{
		{"the fast server had more before", []float64{0.8, 0.2}, true},
		{"the slow server had nearly all before", []float64{0.1, 0.9}, false},
	} {
		p.lastGood = &vector{x: [][]float64{c.before}}
		if got := tune.revertDue(p, now); got != c.want {
			t.Errorf("%s: go back got %v, want %v", c.about, got, c.want)
		}
	}
}
