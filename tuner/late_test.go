package tuner_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// way is how changes of weights come into force.
type way struct {
	name      string
	delay     func(seed uint64) time.Duration // until one is in force
	confirmed int                             // s until it is known to be, in which nothing is learned
	unlimited bool
}

// lateRun plays what trimtab run plays: 30 s of an overload, then the tuner. It returns the p99 in ms of the requests
// that were due after 45 s.
func lateRun(t *testing.T, w way, seed uint64) float64 {
	t.Helper()
	const tuneAt, settled, interval = 30, 45, 3 // s
	sc := scenario(t, "capacity-1-2-4")
	sc.Duration = ms(90e3)
	s, err := sim.New(sc, sim.Options{Seed: seed, Method: "round_robin", Interval: time.Second,
		ApplyDelay: w.delay(seed)})
	if err != nil {
		t.Fatal(err)
	}
	p := tunerFor(t, sc, "round_robin", func(c *tuner.Config) {
		c.Unlimited, c.Seed = w.unlimited, seed
	})
	force := weights.Set{}
	for group, servers := range s.Weights() {
		force[group] = weights.Group{}
		for server, x := range servers {
			force[group][server] = weights.Setting{Weight: weights.Clamp(x.Weight)}
		}
	}
	var late [400]float64 // requests due after settled that took longer than 10 ms·1.02^i
	var seen *vts.Sample
	due, drop := 0.0, 0
	for sec := 1; !s.Done(); sec++ {
		sample, err := s.Step()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range s.Interval() {
			if sec <= settled {
				continue
			}
			n := g.Latency.Below(time.Duration(sec-settled) * time.Second)
			due += n
			for i, limit := 0, 10e6; i < len(late); i, limit = i+1, limit*1.02 {
				late[i] += max(0, n-g.Latency.Below(time.Duration(limit)))
			}
		}
		seen = added(seen, sample)
		if drop > 0 {
			if drop--; drop == 0 {
				seen = nil
			}
		}
		if sec%interval != 0 || seen == nil {
			continue
		}
		p.Observe(*seen, force.Clone())
		seen = nil
		if sec < tuneAt {
			continue
		}
		d := p.Choose()
		if len(d.Weights) == 0 {
			continue
		}
		set := map[string]map[string]sim.Setting{}
		for group, servers := range d.Weights {
			set[group] = map[string]sim.Setting{}
			for server, x := range servers {
				set[group][server] = sim.Setting{Weight: x.Weight.Int(), Down: x.Down}
				force[group][server] = x
			}
		}
		if err := s.SetWeights(set); err != nil {
			t.Fatal(err)
		}
		p.Committed(control.Receipt{Changed: true, Want: d.Weights})
		drop = w.confirmed
	}
	limit := 10.0
	for i := range late {
		if late[i] <= 0.01*due {
			return limit
		}
		limit *= 1.02
	}
	return limit
}

// added is the sample of two intervals, one after the other; before may be nil.
func added(before *vts.Sample, s vts.Sample) *vts.Sample {
	if before == nil {
		return &s
	}
	s.Interval += before.Interval
	s.Groups = slices.Clone(s.Groups)
	for i := range s.Groups {
		peers := slices.Clone(s.Groups[i].Peers)
		for j := range peers {
			p, q := &peers[j], &before.Groups[i].Peers[j]
			p.Known = p.Known || q.Known
			p.Requests += q.Requests
			p.RequestMsec += q.RequestMsec
			p.ResponseMsec += q.ResponseMsec
			for k := range p.Responses {
				p.Responses[k] += q.Responses[k]
			}
			p.Buckets = slices.Clone(p.Buckets)
			for k := range p.Buckets {
				p.Buckets[k] += q.Buckets[k]
			}
		}
		s.Groups[i].Peers = peers
	}
	return &s
}

// After 30 s on equal weights the small server has a queue of seconds that it goes on finishing: what it
// finishes is no load, so that the others are given what it cannot carry, and the queue is gone within 15 s.
func TestAQueueOfHalfAMinuteIsGoneInTime(t *testing.T) {
	const seeds = 20
	late := 0
	for seed := range uint64(seeds) {
		if p99 := lateRun(t, way{delay: func(uint64) time.Duration { return 150 * time.Millisecond }}, seed); p99 > 500 {
			late++
		}
	}
	if late > seeds/5 {
		t.Errorf("p99 from 15 s after the first change on is above 500 ms in %d of %d runs, want at most a fifth", late,
			seeds)
	}
}

// Changes by DNS come into force up to two seconds late, and are not rationed: an overload is over as soon as by
// reloads. -v prints the quartiles of docs/lab/actuators.md.
func TestOverloadEndsAsWellByDNS(t *testing.T) {
	if os.Getenv(longTests) == "" {
		t.Skip("120 simulated runs take minutes: set " + longTests + "=1")
	}
	const seeds = 60
	median := map[string]float64{}
	for _, w := range []way{
		{"reload", func(uint64) time.Duration { return 150 * time.Millisecond }, 0, false},
		{"dns", func(seed uint64) time.Duration { return time.Duration(300+seed*50%1700) * time.Millisecond }, 2, true},
	} {
		var p99 []float64
		for seed := range uint64(seeds) {
			p99 = append(p99, lateRun(t, w, seed))
		}
		slices.Sort(p99)
		median[w.name] = p99[seeds/2]
		t.Logf("%s: p99 %.0f, %.0f, %.0f ms (quartiles), worst %.0f", w.name, p99[seeds/4], p99[seeds/2],
			p99[3*seeds/4], p99[seeds-1])
	}
	if median["dns"] > 1.1*median["reload"] {
		t.Errorf("median p99 %v: by DNS it is more than a tenth worse", median)
	}
}
