package testbed

import (
	"time"

	"trimtab/arena"
	"trimtab/deathstarbench"
	"trimtab/loadgen"
	"trimtab/objective"
)

// scoring is how requests are scored: by relative tardiness against the deadline of their upstream group.
type scoring struct {
	groups    []arena.GroupResult // by workload index of the load, without counts
	deadlines []time.Duration     // likewise
}

func newScoring(sc *deathstarbench.Scenario, deadlines map[string]time.Duration) scoring {
	var s scoring
	for i := range sc.Loads {
		u := sc.Upstream(sc.Loads[i].Workload)
		s.groups = append(s.groups, arena.GroupResult{Upstream: u.Name, Workload: u.Workload})
		s.deadlines = append(s.deadlines, deadlines[u.Name])
	}
	return s
}

// tardiness is max(0, (t − d)/d), and objective.DefaultErrorTardiness for a failed request.
func (s *scoring) tardiness(r seen) float64 {
	if r.failed {
		return objective.DefaultErrorTardiness
	}
	d := s.deadlines[r.workload]
	if d <= 0 {
		return 0
	}
	return max(0, float64(r.latency-d)/float64(d))
}

// tally sums up requests.
type tally struct {
	requests, errors uint64
	tardiness        float64
	latency          *loadgen.Latencies
}

func newTally() *tally { return &tally{latency: loadgen.NewLatencies()} }

func (t *tally) add(r seen, tardiness float64) {
	t.requests++
	if r.failed {
		t.errors++
	}
	t.tardiness += tardiness
	t.latency.Record(r.latency)
}

func (s *scoring) tally(requests []seen) *tally {
	t := newTally()
	for _, r := range requests {
		t.add(r, s.tardiness(r))
	}
	return t
}

func (s *scoring) client(requests []seen) arena.Client {
	t := s.tally(requests)
	return arena.Client{Requests: t.requests, Errors: t.errors, Tardiness: t.tardiness, Mean: t.latency.Mean(),
		P99: t.latency.Quantile(0.99)}
}

// results are the totals over requests, and of each upstream group.
func (s *scoring) results(requests []seen) arena.Results {
	all := newTally()
	groups := make(map[string]*tally)
	var out arena.Results
	for _, r := range requests {
		name := s.groups[r.workload].Upstream
		if groups[name] == nil {
			groups[name] = newTally()
		}
		tardiness := s.tardiness(r)
		all.add(r, tardiness)
		groups[name].add(r, tardiness)
	}
	out.Requests, out.Errors, out.Tardiness, out.Latency = all.requests, all.errors, all.tardiness, all.latency
	done := make(map[string]bool)
	for _, g := range s.groups {
		if done[g.Upstream] {
			continue // several loads of one workload share a group
		}
		done[g.Upstream] = true
		t := groups[g.Upstream]
		if t == nil {
			t = newTally()
		}
		g.Requests, g.Errors, g.Tardiness, g.Latency = t.requests, t.errors, t.tardiness, t.latency
		out.Groups = append(out.Groups, g)
	}
	return out
}
