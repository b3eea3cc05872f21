package twin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
)

// Case is what is forecast: servers and groups that share them, as they are believed to stand now.
type Case struct {
	Servers []Server
	Groups  []Group
}

// Server is what is believed of one server.
type Server struct {
	Slots      []Slots   // that it may have; none: nothing is known of it
	SD         []float64 // by class: standard deviation of the log of the service time, the slots being given
	Fail       []float64 // by class: probability that a request fails
	Inside     float64   // requests that it holds now
	DonePerSec float64   // that it serves now
}

// Slots is one number of slots that a server may have.
type Slots struct {
	Slots, Probability float64
	ServiceSec         []float64 // by class, mean
}

// Group is one upstream group.
type Group struct {
	Method     sim.Method
	RatePerSec float64
	// LoadSD is by how much the load over the horizon may differ from the present one: the standard deviation of its
	// logarithm; 0: not at all.
	LoadSD float64
	Links  []Link
}

// Link is one server of a group.
type Link struct {
	Server   int     // index into Case.Servers
	Class    int     // index of the group among the classes of that server
	SCV      float64 // squared coefficient of variation of service times
	SpreadSD float64 // standard deviation of its logarithm; 0: it is well known
}

// Weights are the settings of the servers of every group, in the order of Case.Groups and their links.
type Weights [][]sim.Setting

// check reports why a case cannot be played.
func (c *Case) check(w ...Weights) error {
	for g := range c.Groups {
		for _, set := range w {
			if len(set) != len(c.Groups) || len(set[g]) != len(c.Groups[g].Links) {
				return fmt.Errorf("forecast: weights of other groups than the %d of the case", len(c.Groups))
			}
			if !slices.ContainsFunc(set[g], func(s sim.Setting) bool { return !s.Down }) {
				return fmt.Errorf("forecast: group %d: no server is left", g)
			}
		}
		for _, l := range c.Groups[g].Links {
			if len(c.Servers[l.Server].Slots) == 0 {
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
	return slices.ContainsFunc(c.Servers, func(s Server) bool {
		mean := 0.0
		for _, h := range s.Slots {
			mean += h.Probability * h.Slots
		}
		return s.Inside > waits*mean+waitsFew
	})
}

const (
	waits    = 1.5 // requests held per slot, beyond a few, that are a backlog
	waitsFew = 3
)

// drained is how long it takes, in s, until no server of a world has a backlog any more.
func (c *Case) drained(w *world, target Weights) float64 {
	used := make([]float64, len(c.Servers)) // slots
	for g := range c.Groups {
		if c.Groups[g].Method != sim.RoundRobin { // it sends nothing to who is behind
			continue
		}
		share := Shares(target[g])
		for i, l := range c.Groups[g].Links {
			used[l.Server] += c.Groups[g].RatePerSec * share[i] * w.speeds[l.Server][l.Class]
		}
	}
	longest := 0.0
	for j := range c.Servers {
		slots := float64(w.scenario.Servers[j].Slots)
		if waiting := c.Servers[j].Inside - slots; waiting > 0 && len(w.speeds[j]) > 0 {
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
	for i := range c.Groups {
		sum += c.Groups[i].RatePerSec
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
	w := world{scenario: deathstarbench.Scenario{
		Name: "forecast", Duration: duration(seconds), ControlInterval: duration(seconds),
		Servers: make([]deathstarbench.Server, len(c.Servers)),
	}, speeds: make([][]float64, len(c.Servers))}
	for j := range c.Servers {
		b := &c.Servers[j]
		s := &w.scenario.Servers[j]
		s.Name, s.QueueLimit = strconv.Itoa(j), deathstarbench.DefaultQueueLimit
		if len(b.Slots) == 0 { // no group uses it
			s.Slots = 1
			continue
		}
		h := &b.Slots[pick(rng, len(b.Slots), func(i int) float64 { return b.Slots[i].Probability })]
		z := rng.NormFloat64()
		s.Slots, s.Service = int(h.Slots), map[string]deathstarbench.Duration{}
		for k, mean := range h.ServiceSec {
			w.speeds[j] = append(w.speeds[j], mean*math.Exp(b.SD[k]*z))
		}
	}
	work := make([]float64, len(c.Servers))
	for g := range c.Groups {
		grp := &c.Groups[g]
		name := strconv.Itoa(g)
		u := deathstarbench.Upstream{Name: name, Workload: name, Method: string(grp.Method)}
		share := Shares(hold[g])
		load := grp.RatePerSec
		if grp.LoadSD > 0 {
			load *= math.Exp(grp.LoadSD * rng.NormFloat64())
		}
		for i, l := range grp.Links {
			s := &w.scenario.Servers[l.Server]
			u.Servers, u.Weights = append(u.Servers, s.Name), append(u.Weights, hold[g][i].Weight)
			s.Service[name] = duration(math.Max(w.speeds[l.Server][l.Class], leastService))
			scv := l.SCV
			if l.SpreadSD > 0 {
				scv *= math.Exp(l.SpreadSD * rng.NormFloat64())
			}
			v := grp.RatePerSec*share[i] + leastRate
			s.ServiceCV += v * scv
			work[l.Server] += v
			if f := c.Servers[l.Server].Fail[l.Class]; f > leastFailing {
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
	w.held = c.queues(hold, rng)
	return w
}

const (
	leastService = 1e-5  // s
	leastRate    = 1e-6  // per s
	leastFailing = 0.005 // share of failures that is worth simulating
	failsAfter   = 1e-3  // s
)

// queues are the requests that servers hold, by group as the groups fill them.
func (c *Case) queues(hold Weights, rng *rand.Rand) (out []sim.Held) {
	type part struct {
		group   int
		arrives float64 // per s
	}
	parts := make([][]part, len(c.Servers))
	for g := range c.Groups {
		share := Shares(hold[g])
		for i, l := range c.Groups[g].Links {
			parts[l.Server] = append(parts[l.Server], part{g, c.Groups[g].RatePerSec*share[i] + leastRate})
		}
	}
	for j := range parts {
		arrives := 0.0
		for _, v := range parts[j] {
			arrives += v.arrives
		}
		for _, v := range parts[j] {
			n := int(c.Servers[j].Inside*v.arrives/arrives + rng.Float64())
			if n <= 0 {
				continue
			}
			pace := math.Max(c.Servers[j].DonePerSec*v.arrives/arrives, leastPace)
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

// Shares are the shares of the requests that weights give under round robin.
func Shares(set []sim.Setting) []float64 {
	out, sum := make([]float64, len(set)), 0.0
	for i, s := range set {
		if !s.Down {
			out[i] = float64(s.Weight)
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
		for i, l := range c.Groups[g].Links {
			set[strconv.Itoa(l.Server)] = w[g][i]
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
