package pursuit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/tuner"
	"trimtab/tuner/estimate"
	"trimtab/vts"
)

// volume is what was answered.
type volume struct {
	requests, responseMsec, outBytes uint64
}

// plus is a volume and that of a sample.
func (v volume) plus(sample *vts.Sample) volume {
	for i := range sample.Groups {
		v = v.plusGroup(&sample.Groups[i])
	}
	return v
}

func (v volume) plusGroup(g *vts.GroupSample) volume {
	for j := range g.Peers {
		v.requests += g.Peers[j].Requests
		v.responseMsec += g.Peers[j].ResponseMsec
		v.outBytes += g.Peers[j].OutBytes
	}
	return v
}

// count adds what a sample says of volumes.
func (s *Study) count(sample *vts.Sample) {
	s.seen = append(s.seen, volume{}.plus(sample))
	for i := range sample.Groups {
		g := &sample.Groups[i]
		s.answered[g.Name] = s.answered[g.Name].plusGroup(g)
	}
}

const (
	samePhase   = 3.0   // standard deviations of a Poisson count within which an interval has the load of its phase,
	samePart    = 0.1   // and beside them this part of the load
	mostPhases  = 200   // of a scenario; more have the tolerance raised
	worseRaise  = 1.5   // by this factor
	leastFails  = 0.005 // share of failures of a server that is a fault of it
	failsAfter  = time.Millisecond
	headerBytes = 150 // of an answer, about: the rest is its body
)

// Scenario is the world of the statistics: servers as they are believed to be, services with the paths of their names,
// the loads that were seen, in phases, and the weights that were in force last. It is the twin that answers are played
// on, written down. How many slots a server has shows only while they are filled: of the numbers that are probable
// those are taken with which the twin answers as was recorded. The mean response times, s, say how well it does so.
func (s *Study) Scenario(name string) (sc *deathstarbench.Scenario, recorded, played float64, err error) {
	if s.part != nil && s.part.Interval >= s.interval/2 {
		s.close()
	}
	if len(s.loads) == 0 {
		return nil, 0, 0, ErrNothing
	}
	least := math.Inf(1)
	for _, at := range slotQuantiles() {
		one, err := s.scenario(name, at)
		if err != nil {
			return nil, 0, 0, err
		}
		was, is, err := s.compare(one)
		if err != nil {
			return nil, 0, 0, err
		}
		if off := math.Abs(math.Log(is / was)); off < least {
			sc, recorded, played, least = one, was, is, off
		}
	}
	if sc == nil {
		return nil, 0, 0, ErrNothing
	}
	return sc, recorded, played, nil
}

// slotQuantiles are those of the numbers of slots that are tried.
func slotQuantiles() []float64 { return []float64{0.5, 0.05, 0.2, 0.8, 0.95, 0.999} }

// compare is the mean response time that was recorded in the first mostPlayed, and that of the twin then, in s.
func (s *Study) compare(sc *deathstarbench.Scenario) (recorded, played float64, err error) {
	var was, is volume
	length := time.Duration(0)
	for i := range s.lasted {
		if length += s.lasted[i]; length > mostPlayed && i > 0 {
			break
		}
		was.requests, was.responseMsec = was.requests+s.seen[i].requests, was.responseMsec+s.seen[i].responseMsec
	}
	run, err := sim.New(sc, sim.Options{Seed: 1})
	if err != nil {
		return 0, 0, fmt.Errorf("play the twin: %w", err)
	}
	for !run.Done() && run.Now() < min(length, mostPlayed) {
		sample, err := run.Step()
		if err != nil {
			return 0, 0, fmt.Errorf("play the twin: %w", err)
		}
		is = is.plus(&sample)
	}
	if was.requests == 0 || is.requests == 0 {
		return 0, 0, ErrNothing
	}
	// Half a millisecond for what is counted in whole ones.
	mean := func(v volume) float64 { return (float64(v.responseMsec)/float64(v.requests) + 0.5) / 1e3 }
	return mean(was), mean(is), nil
}

// mostPlayed is how much of a recording is played to choose numbers of slots.
const mostPlayed = 10 * time.Minute

// scenario is the world with the numbers of slots at a quantile of what is believed.
func (s *Study) scenario(name string, at float64) (*deathstarbench.Scenario, error) {
	out := &deathstarbench.Scenario{Name: name, ControlInterval: deathstarbench.Duration(s.interval)}
	for _, pool := range s.policy.tuner.Beliefs() {
		worlds, why := s.policy.worlds(&pool)
		if why != "" {
			return nil, errors.New(why)
		}
		w := &worlds[0]
		probable(w, &pool, at)
		now := s.policy.setting(w, s.inForce)
		twin := w.scenario(&now, s.interval, 1)
		out.Servers, out.Upstreams = append(out.Servers, twin.Servers...), append(out.Upstreams, twin.Upstreams...)
		out.Loads = append(out.Loads, twin.Loads...)
		out.Faults = append(out.Faults, failing(&pool)...)
	}
	services := make([]string, len(out.Upstreams))
	for k := range out.Upstreams {
		services[k] = out.Upstreams[k].Name
	}
	phases := s.phases(services)
	length := time.Duration(0)
	for _, d := range s.lasted {
		length += d
	}
	out.Duration = deathstarbench.Duration(length)
	for k := range out.Loads {
		out.Loads[k].Phases = nil
		for _, p := range phases {
			out.Loads[k].Phases = append(out.Loads[k].Phases, deathstarbench.Phase{
				At: deathstarbench.Duration(p.at), Rate: round(p.perSec(services[k])),
			})
		}
	}
	s.name(out)
	out.Complete()
	if err := out.Validate(); err != nil {
		return nil, fmt.Errorf("scenario of the statistics: %w", err)
	}
	return out, nil
}

// probable gives servers the numbers of slots at a quantile of what is believed, with the service times of each: a
// world for decisions is narrower while requests wait.
func probable(w *World, pool *tuner.PoolBelief, at float64) {
	for j := range w.Servers {
		slots := slices.SortedFunc(slices.Values(pool.Servers[j].Slots), func(a, b estimate.Hypothesis) int {
			return cmp.Compare(a.Slots, b.Slots)
		})
		left, best := at, &slots[len(slots)-1]
		for i := range slots {
			if left -= slots[i].Probability; left <= 0 {
				best = &slots[i]
				break
			}
		}
		w.Servers[j].Slots = int(best.Slots)
		for k, g := range pool.Groups {
			for _, l := range g.Links {
				if l.Server == j {
					w.Servers[j].ServiceSec[k] = best.ServiceSec[l.Class]
				}
			}
		}
	}
}

// failing are the servers of a pool that answer with errors, as faults that last all the time.
func failing(pool *tuner.PoolBelief) (out []deathstarbench.Fault) {
	for j := range pool.Servers {
		sum, rate := 0.0, 0.0
		for _, g := range pool.Groups {
			for _, l := range g.Links {
				if l.Server == j && !l.Off && l.Class < len(pool.Servers[j].Fail) {
					sum += g.RatePerSec * pool.Servers[j].Fail[l.Class]
					rate += g.RatePerSec
				}
			}
		}
		if share := sum / math.Max(rate, 1e-9); share > leastFails {
			out = append(out, deathstarbench.Fault{Server: pool.Servers[j].Address, Kind: deathstarbench.Error,
				Probability: round(math.Min(share, 1)), Latency: deathstarbench.Duration(failsAfter)})
		}
	}
	return out
}

// name gives servers, upstreams and workloads names that a scenario may have, and the services their requests.
func (s *Study) name(sc *deathstarbench.Scenario) {
	plain := func(name string) string {
		return strings.Trim(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
				return r
			}
			return '-'
		}, name), "-")
	}
	taken := map[string]bool{}
	unique := func(name string) string {
		base, out := plain(name), plain(name)
		for n := 2; out == "" || taken[out]; n++ {
			out = fmt.Sprintf("%s-%d", base, n)
		}
		taken[out] = true
		return out
	}
	servers := map[string]string{}
	for i := range sc.Servers {
		v := &sc.Servers[i]
		servers[v.Name] = unique(v.Name)
		v.Name = servers[v.Name]
		v.ServiceCV = round(v.ServiceCV)
	}
	for i := range sc.Faults {
		sc.Faults[i].Server = servers[sc.Faults[i].Server]
	}
	for _, w := range append(deathstarbench.Workloads(), deathstarbench.Mixed) {
		taken[w] = true
	}
	for k := range sc.Upstreams {
		u := &sc.Upstreams[k]
		was, now := u.Name, unique(u.Name)
		w := deathstarbench.Workload{Name: now, Path: "/" + now}
		if v := s.answered[was]; v.requests > 0 {
			w.Bytes = max(int(v.outBytes/v.requests)-headerBytes, 1)
		}
		sc.Workloads = append(sc.Workloads, w)
		u.Name, u.Workload, sc.Loads[k].Workload = now, now, now
		if u.Method != deathstarbench.RoundRobin { // of those that a scenario has, the nearest to what follows queues
			u.Method = deathstarbench.LeastConn
		}
		for i := range u.Servers {
			u.Servers[i] = servers[u.Servers[i]]
		}
		for i := range sc.Servers {
			if d, ok := sc.Servers[i].Service[was]; ok {
				delete(sc.Servers[i].Service, was)
				sc.Servers[i].Service[now] = max(deathstarbench.Duration(d.Std().Round(10*time.Microsecond)),
					deathstarbench.Duration(10*time.Microsecond))
			}
		}
	}
}

// round keeps three significant digits.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	return math.Round(v/unit) * unit
}

// phase is a time in which the loads did not change beyond what chance does.
type phase struct {
	at, lasted time.Duration
	requests   map[string]float64
}

func (p *phase) perSec(name string) float64 { return p.requests[name] / p.lasted.Seconds() }

// phases puts intervals of like loads together.
func (s *Study) phases(names []string) []phase {
	for tolerance := 1.0; ; tolerance *= worseRaise {
		var out []phase
		at := time.Duration(0)
		for i, l := range s.loads {
			if n := len(out); n == 0 || !out[n-1].fits(l, s.lasted[i], names, tolerance) {
				out = append(out, phase{at: at, requests: map[string]float64{}})
			}
			p := &out[len(out)-1]
			p.lasted += s.lasted[i]
			at += s.lasted[i]
			for _, name := range names {
				p.requests[name] += l[name] * s.lasted[i].Seconds()
			}
		}
		if len(out) <= mostPhases {
			return out
		}
	}
}

// fits reports whether a load may be that of the phase.
func (p *phase) fits(l load, lasted time.Duration, names []string, tolerance float64) bool {
	for _, name := range names {
		mean := p.perSec(name)
		// Both rates are counts over their times: their difference has the variance of both.
		sd := math.Sqrt(math.Max(mean, leastLoad) * (1/lasted.Seconds() + 1/p.lasted.Seconds()))
		if math.Abs(l[name]-mean) > tolerance*(samePhase*sd+samePart*mean) {
			return false
		}
	}
	return true
}
