package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner/plan"
	"trimtab/weights"
)

// Case is what is forecast: a pool as it is believed to stand now.
type Case struct {
	Problem *plan.Problem
	// Inside are the requests that each server holds now, in the order of Problem.Beliefs.
	Inside []float64
	// LoadSD is by how much the load of a group over the horizon may differ from the present one: the standard deviation
	// of its logarithm, by group; nil: not at all.
	LoadSD []float64
	// SCV and SpreadSD are the squared coefficient of variation of service times and the standard deviation of its
	// logarithm, by group and link; nil: that of the problem, well known.
	SCV, SpreadSD [][]float64
}

// Weights are the settings of the servers of every group, in the order of Problem.Groups and their links.
type Weights [][]weights.Setting

// check reports why a case cannot be played.
func (c *Case) check(w ...Weights) error {
	p := c.Problem
	other := func(x [][]float64) bool { return x != nil && len(x) != len(p.Groups) }
	if len(c.Inside) != len(p.Beliefs) || c.LoadSD != nil && len(c.LoadSD) != len(p.Groups) || other(c.SCV) ||
		other(c.SpreadSD) {
		return fmt.Errorf("forecast: %d queues and %d loads of %d servers and %d groups",
			len(c.Inside), len(c.LoadSD), len(p.Beliefs), len(p.Groups))
	}
	for g := range p.Groups {
		for _, set := range w {
			if len(set) != len(p.Groups) || len(set[g]) != len(p.Groups[g].Links) {
				return fmt.Errorf("forecast: weights of other groups than the %d of the problem", len(p.Groups))
			}
			if !slices.ContainsFunc(set[g], func(s weights.Setting) bool { return !s.Down }) {
				return fmt.Errorf("forecast: group %d: no server is left", g)
			}
		}
		for _, l := range p.Groups[g].Links {
			b := &p.Beliefs[l.Server]
			if len(b.Slots) == 0 {
				return fmt.Errorf("forecast: nothing is known of server %d", l.Server)
			}
		}
	}
	if !(c.rate() > 0) {
		return fmt.Errorf("forecast: no requests")
	}
	return nil
}

// backlog reports whether requests wait at a server that would have room for them if it were not behind.
func (c *Case) backlog() bool {
	for j := range c.Problem.Beliefs {
		if c.Inside[j] > waits*c.Problem.Beliefs[j].MeanSlots()+waitsFew {
			return true
		}
	}
	return false
}

const (
	waits    = 1.5 // requests held per slot, beyond a few, that are a backlog
	waitsFew = 3
)

// drained is how long it takes, in s, until no server of a world has a backlog any more.
func (c *Case) drained(w *world, target Weights) float64 {
	p := c.Problem
	used := make([]float64, len(p.Beliefs)) // slots
	for g := range p.Groups {
		if p.Groups[g].Method.LoadAware() { // it sends nothing to who is behind
			continue
		}
		share := shares(target[g])
		for i, l := range p.Groups[g].Links {
			used[l.Server] += p.Groups[g].RatePerSec * share[i] * w.speeds[l.Server][l.Class]
		}
	}
	longest := 0.0
	for j := range p.Beliefs {
		slots := float64(w.scenario.Servers[j].Slots)
		if waiting := c.Inside[j] - slots; waiting > 0 && len(w.speeds[j]) > 0 {
			mean := 0.0
			for _, v := range w.speeds[j] {
				mean += v / float64(len(w.speeds[j]))
			}
			longest = math.Max(longest, waiting*mean/math.Max(slots-used[j], 1e-3))
		}
	}
	return longest
}

// rate is how many requests arrive per second.
func (c *Case) rate() float64 {
	sum := 0.0
	for i := range c.Problem.Groups {
		sum += c.Problem.Groups[i].RatePerSec
	}
	return sum
}

// world is one sample of what is believed, as the twin plays it.
type world struct {
	scenario deathstarbench.Scenario
	held     []sim.Held
	speeds   [][]float64 // s, by server and class
}

// draw draws a world that lasts so long.
func (c *Case) draw(hold Weights, seconds float64, rng *rand.Rand) world {
	p := c.Problem
	w := world{scenario: deathstarbench.Scenario{
		Name: "forecast", Duration: duration(seconds), ControlInterval: duration(seconds),
		Servers: make([]deathstarbench.Server, len(p.Beliefs)),
	}}
	speeds := make([][]float64, len(p.Beliefs))
	w.speeds = speeds
	for j := range p.Beliefs {
		b := &p.Beliefs[j]
		s := &w.scenario.Servers[j]
		s.Name, s.QueueLimit = strconv.Itoa(j), deathstarbench.DefaultQueueLimit
		if len(b.Slots) == 0 { // no group of the problem uses it
			s.Slots = 1
			continue
		}
		h := &b.Slots[pick(rng, len(b.Slots), func(i int) float64 { return b.Slots[i].Probability })]
		z := rng.NormFloat64()
		s.Slots, s.Service = int(h.Slots), map[string]deathstarbench.Duration{}
		for k, mean := range h.ServiceSec {
			speeds[j] = append(speeds[j], mean*math.Exp(b.SD[k]*z))
		}
	}
	work := make([]float64, len(p.Beliefs))
	for g := range p.Groups {
		grp := &p.Groups[g]
		name := strconv.Itoa(g)
		u := deathstarbench.Upstream{Name: name, Workload: name, Method: string(grp.Method)}
		share := shares(hold[g])
		load := grp.RatePerSec
		if c.LoadSD != nil {
			load *= math.Exp(c.LoadSD[g] * rng.NormFloat64())
		}
		for i, l := range grp.Links {
			s := &w.scenario.Servers[l.Server]
			u.Servers, u.Weights = append(u.Servers, s.Name), append(u.Weights, hold[g][i].Weight.Int())
			s.Service[name] = duration(math.Max(speeds[l.Server][l.Class], leastService))
			scv := grp.SCV
			if c.SCV != nil {
				scv = c.SCV[g][i]
			}
			if c.SpreadSD != nil {
				scv *= math.Exp(c.SpreadSD[g][i] * rng.NormFloat64())
			}
			v := grp.RatePerSec*share[i] + leastRate
			s.ServiceCV += v * scv
			work[l.Server] += v
			if f := p.Beliefs[l.Server].Fail[l.Class]; f > leastFailing {
				w.scenario.Faults = append(w.scenario.Faults, deathstarbench.Fault{
					Server: s.Name, Kind: deathstarbench.Error, Probability: math.Min(f, 1), Latency: duration(failsAfter),
					Until: duration(seconds),
				})
			}
		}
		w.scenario.Upstreams = append(w.scenario.Upstreams, u)
		w.scenario.Loads = append(w.scenario.Loads, deathstarbench.Traffic{
			Workload: name, Arrival: "exp", Phases: []deathstarbench.Phase{{Rate: math.Max(load, leastRate)}},
		})
	}
	for j := range w.scenario.Servers {
		if s := &w.scenario.Servers[j]; work[j] > 0 {
			s.ServiceCV = math.Sqrt(s.ServiceCV / work[j])
		}
	}
	w.held = c.queues(hold, speeds, rng)
	return w
}

const (
	leastService = 1e-5  // s
	leastRate    = 1e-6  // per s
	leastFailing = 0.005 // share of failures that is worth simulating
	failsAfter   = 1e-3  // s
)

// queues are the requests that servers hold, by group as the groups fill them.
func (c *Case) queues(hold Weights, speeds [][]float64, rng *rand.Rand) (out []sim.Held) {
	p := c.Problem
	type part struct {
		group   int
		arrives float64 // per s
	}
	parts := make([][]part, len(p.Beliefs))
	for g := range p.Groups {
		share := shares(hold[g])
		for i, l := range p.Groups[g].Links {
			parts[l.Server] = append(parts[l.Server], part{g, p.Groups[g].RatePerSec*share[i] + leastRate})
		}
	}
	for j := range parts {
		arrives := 0.0
		for _, v := range parts[j] {
			arrives += v.arrives
		}
		for _, v := range parts[j] {
			n := int(c.Inside[j]*v.arrives/arrives + rng.Float64())
			if n <= 0 {
				continue
			}
			pace := math.Max(p.Beliefs[j].Done*v.arrives/arrives, leastPace)
			out = append(out, sim.Held{
				Group: strconv.Itoa(v.group), Server: strconv.Itoa(j), Requests: min(n, deathstarbench.DefaultQueueLimit),
				Every: time.Duration(1e9 / pace),
			})
		}
	}
	return out
}

// leastPace is the fewest requests per second that a queue is taken to come from: nobody waits longer than some
// seconds.
const leastPace = 1.0

// shares are the shares of the requests that weights give under round robin.
func shares(set []weights.Setting) []float64 {
	out, sum := make([]float64, len(set)), 0.0
	for i, s := range set {
		if !s.Down {
			out[i] = float64(s.Weight.Int())
			sum += out[i]
		}
	}
	for i := range out {
		out[i] /= math.Max(sum, 1)
	}
	return out
}

// settings are those of a change, as the twin takes them.
func (c *Case) settings(w Weights) map[string]map[string]sim.Setting {
	out := make(map[string]map[string]sim.Setting, len(w))
	for g := range w {
		set := make(map[string]sim.Setting, len(w[g]))
		for i, l := range c.Problem.Groups[g].Links {
			set[strconv.Itoa(l.Server)] = sim.Setting{Weight: w[g][i].Weight.Int(), Down: w[g][i].Down}
		}
		out[strconv.Itoa(g)] = set
	}
	return out
}

// pick draws one of n by probabilities that sum to 1.
func pick(rng *rand.Rand, n int, probability func(int) float64) int {
	u := rng.Float64()
	for i := range n - 1 {
		if u -= probability(i); u < 0 {
			return i
		}
	}
	return n - 1
}

func duration(seconds float64) deathstarbench.Duration {
	return deathstarbench.Duration(seconds * float64(time.Second))
}
