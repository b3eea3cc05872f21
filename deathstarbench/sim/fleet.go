package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trimtab/deathstarbench"
	"trimtab/vts"
)

// frontend is one NGINX: what it has beside the state of its groups.
type frontend struct {
	upTo       float64 // sum of the shares of the load up to its own
	byName     []int   // indices of its groups, sorted by name
	sampled    int64   // ns; time of its last sample
	generation int64   // ns; time of its last reload
	inFlight   uint64
	finished   uint64 // since its last sample
}

// multiply gives every balancer groups of its own. Those of the first are there already; one balancer is the scenario
// without any.
func (s *Sim) multiply(sc *deathstarbench.Scenario, servers map[string]int32, classes []string) error {
	n, sum := len(s.groups), 0.0
	for b := range max(1, len(sc.Balancers)) {
		share := 1.0
		if len(sc.Balancers) > 0 {
			share = sc.Balancers[b].Share
		}
		if !(share > 0) {
			return fmt.Errorf("balancer %s: share %v: want more than 0", sc.Balancers[b].Name, share)
		}
		sum += share
		one := frontend{upTo: sum}
		for i, u := range sc.Upstreams {
			if b > 0 {
				g, err := newGroup(u, sc.Own(u.Workload), servers, &s.opts, mix(s.opts.Seed, uint64(1<<22+b*n+i)))
				if err != nil {
					return err
				}
				g.class, g.balancer = uint16(slices.Index(classes, u.Workload)), b
				s.groups = append(s.groups, g)
			}
			one.byName = append(one.byName, b*n+i)
		}
		slices.SortFunc(one.byName, func(a, c int) int { return strings.Compare(s.groups[a].name, s.groups[c].name) })
		s.fleet = append(s.fleet, one)
	}
	for b := range s.fleet {
		s.fleet[b].upTo /= sum
	}
	return nil
}

// route is the group that the next request of a source goes to.
func (s *Sim) route(src *source) int32 {
	if len(s.fleet) == 1 {
		return src.group
	}
	u := src.routes.Float64()
	b := slices.IndexFunc(s.fleet, func(b frontend) bool { return u < b.upTo })
	if b < 0 {
		b = len(s.fleet) - 1
	}
	return src.group + int32(b*len(s.groups)/len(s.fleet))
}

func (s *Sim) groupsOf(balancer int) []group {
	n := len(s.groups) / len(s.fleet)
	return s.groups[balancer*n : (balancer+1)*n]
}

func (s *Sim) groupOf(balancer int, name string) *group {
	groups := s.groupsOf(balancer)
	for i := range groups {
		if groups[i].name == name {
			return &groups[i]
		}
	}
	return nil
}

// Balancers is the number of NGINX in front of the servers.
func (s *Sim) Balancers() int { return len(s.fleet) }

// beginStep returns where the interval that begins now ends.
func (s *Sim) beginStep() (end int64) {
	for i := range s.groups {
		s.groups[i].client.interval.reset()
	}
	return min(s.now+int64(s.opts.Interval), s.end)
}

// StepAll plays one control interval, as Step does, and returns what the poller of each balancer would report at its
// end. Polls are read at the same moment and none is lost.
func (s *Sim) StepAll() []vts.Sample {
	end := s.beginStep()
	s.runTo(max(s.now, end-int64(s.opts.TelemetryDelay)))
	out := make([]vts.Sample, len(s.fleet))
	for b := range out {
		out[b] = s.sample(b)
	}
	s.runTo(end)
	return out
}

// SetWeightsOf sets weights of the n-th balancer, as SetWeights does of all. Balancers act one after the other within
// an interval: the n-th of m is n/m of it late.
func (s *Sim) SetWeightsOf(n int, settings map[string]map[string]Setting) error {
	if n < 0 || n >= len(s.fleet) {
		return fmt.Errorf("set weights: balancer %d of %d", n, len(s.fleet))
	}
	return s.setWeights(n, settings)
}

// Load is how many requests came through each balancer per second since the start.
func (s *Sim) Load() []float64 {
	out := make([]float64, len(s.fleet))
	for b := range out {
		groups := s.groupsOf(b)
		for i := range groups {
			out[b] += float64(groups[i].client.run.Requests) / max(time.Duration(s.now-s.warmup).Seconds(), 1e-9)
		}
	}
	return out
}
