package pursuit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
	"trimtab/vts"
	"trimtab/weights"
)

// Study answers offline what an objective would give: it observes stored statistics, changes nothing, and then plans
// for every load that it saw.
type Study struct {
	policy   *Policy
	interval time.Duration
	part     *vts.Sample // an interval that is not complete yet
	loads    []load
	lasted   []time.Duration // how long each of the loads did
	seen     []volume        // in each of them
	answered map[string]volume
	inForce  weights.Set
}

// load is what was offered in an interval, by upstream.
type load map[string]float64

// NewStudy returns a study of an objective with the controls of a configuration, in intervals of the tuner's.
func NewStudy(cfg Config) (*Study, error) {
	p, err := New(cfg)
	if err != nil {
		return nil, err
	}
	return &Study{policy: p, interval: p.cfg.Search.withDefaults().Interval, inForce: weights.Set{},
		answered: map[string]volume{}}, nil
}

// Add takes in a sample; samples shorter than an interval add up to one.
func (s *Study) Add(sample vts.Sample) {
	if s.part == nil {
		c := sample
		c.Groups = slices.Clone(sample.Groups)
		for i := range c.Groups {
			c.Groups[i].Peers = slices.Clone(c.Groups[i].Peers)
			for j := range c.Groups[i].Peers {
				p := &c.Groups[i].Peers[j]
				p.Buckets = slices.Clone(p.Buckets)
			}
		}
		s.part = &c
	} else if !merge(s.part, &sample) { // other servers: what there was is an interval, however short
		s.close()
		s.Add(sample)
		return
	}
	if s.part.Interval >= s.interval {
		s.close()
	}
}

// merge adds the counts of the next sample of the same servers to one; false: they are others.
func merge(to, next *vts.Sample) bool {
	if len(to.Groups) != len(next.Groups) {
		return false
	}
	for i := range to.Groups {
		a, b := &to.Groups[i], &next.Groups[i]
		if a.Name != b.Name || len(a.Peers) != len(b.Peers) {
			return false
		}
		for j := range a.Peers {
			if a.Peers[j].Server != b.Peers[j].Server || len(a.Peers[j].Buckets) != len(b.Peers[j].Buckets) {
				return false
			}
		}
	}
	to.At, to.Interval, to.Reloaded = next.At, to.Interval+next.Interval, to.Reloaded || next.Reloaded
	for i := range to.Groups {
		a, b := &to.Groups[i], &next.Groups[i]
		a.NoLive, a.Refused = a.NoLive+b.NoLive, a.Refused+b.Refused
		for j := range a.Peers {
			p, q := &a.Peers[j], &b.Peers[j]
			p.Weight, p.Down, p.Known = q.Weight, q.Down, p.Known || q.Known
			p.Requests, p.InBytes, p.OutBytes = p.Requests+q.Requests, p.InBytes+q.InBytes, p.OutBytes+q.OutBytes
			p.RequestMsec, p.ResponseMsec = p.RequestMsec+q.RequestMsec, p.ResponseMsec+q.ResponseMsec
			for k := range p.Responses {
				p.Responses[k] += q.Responses[k]
			}
			for k := range p.Buckets {
				p.Buckets[k] += q.Buckets[k]
			}
		}
	}
	return true
}

func (s *Study) close() {
	sample := *s.part
	s.part = nil
	s.inForce = control.InForce(sample)
	seen := waited(sample)
	s.policy.tuner.Observe(seen, s.inForce)
	s.policy.watch(&sample, &seen, s.inForce, sample.Interval.Seconds())
	now := load{}
	for i := range sample.Groups {
		g := &sample.Groups[i]
		now[g.Name] = float64(g.Requests()+g.Refused) / sample.Interval.Seconds()
	}
	s.loads, s.lasted = append(s.loads, now), append(s.lasted, sample.Interval)
	s.count(&sample)
}

// Answer is what a study says of one load.
type Answer struct {
	Share   float64 // of the time
	World   World   // with that load
	Now     Value   // with what was in force last
	InForce Setting
	Best    Found
}

// mostLoads bounds the loads that are told apart: the most frequent ones, to which the others are added.
const mostLoads = 12

// binStep is how far apart loads are, in the logarithm, that are told apart.
const binStep = 0.2

// ErrNothing says that there was nothing to study.
var ErrNothing = errors.New("no complete interval of statistics")

// Answers plans for every load that was seen, the most frequent first.
func (s *Study) Answers() ([]Answer, error) {
	if s.part != nil && s.part.Interval >= s.interval/2 {
		s.close()
	}
	if len(s.loads) == 0 {
		return nil, ErrNothing
	}
	var out []Answer
	for _, pool := range s.policy.tuner.Beliefs() {
		worlds, why := s.policy.worlds(&pool)
		if why != "" {
			return nil, errors.New(why)
		}
		now := s.policy.setting(&worlds[0], s.inForce)
		answers, err := answer(s.policy, worlds, now, s.loads)
		if err != nil {
			return nil, err
		}
		out = append(out, answers...)
	}
	return out, nil
}

// answer plans for every load in worlds.
func answer(p *Policy, worlds []World, now Setting, loads []load) ([]Answer, error) {
	names := make([]string, len(worlds[0].Services))
	for k := range names {
		names[k] = worlds[0].Services[k].Name
	}
	var out []Answer
	for _, bin := range bins(loads, names) {
		at := make([]World, len(worlds))
		for i := range worlds {
			at[i] = worlds[i]
			at[i].Services = slices.Clone(worlds[i].Services)
			for k := range names {
				at[i].Services[k].OfferedPerSec = bin.mean[k]
			}
		}
		opt := p.cfg.Search
		opt.InForce = &now
		found, err := Search(at, p.cfg.Objective, opt)
		if err != nil {
			return nil, err
		}
		opt = opt.fit(&at[0])
		value, err := playAll(at, &now, p.cfg.Objective, opt, opt.Intervals)
		if err != nil {
			return nil, err
		}
		out = append(out, Answer{Share: bin.share, World: at[0], Now: value, InForce: now, Best: found})
	}
	return out, nil
}

// bin is a load that was seen for a share of the time.
type bin struct {
	share float64
	mean  []float64 // by service
	n     float64
}

// bins tells loads apart, at most mostLoads.
func bins(loads []load, names []string) []bin {
	by := map[string]*bin{}
	for _, l := range loads {
		key := ""
		for _, name := range names {
			key += fmt.Sprintf("%.0f ", math.Log(math.Max(l[name], leastLoad))/binStep)
		}
		b := by[key]
		if b == nil {
			b = &bin{mean: make([]float64, len(names))}
			by[key] = b
		}
		b.n++
		for k, name := range names {
			b.mean[k] += (l[name] - b.mean[k]) / b.n
		}
	}
	var all []bin
	for _, b := range by {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b bin) int {
		if c := cmp.Compare(b.n, a.n); c != 0 {
			return c
		}
		return slices.Compare(a.mean, b.mean)
	})
	for len(all) > mostLoads {
		last := all[len(all)-1]
		all = all[:len(all)-1]
		near, least := 0, math.Inf(1)
		for i := range all {
			d := 0.0
			for k := range names {
				x := math.Log(math.Max(all[i].mean[k], leastLoad) / math.Max(last.mean[k], leastLoad))
				d += x * x
			}
			if d < least {
				near, least = i, d
			}
		}
		to := &all[near]
		for k := range names {
			to.mean[k] = (to.mean[k]*to.n + last.mean[k]*last.n) / (to.n + last.n)
		}
		to.n += last.n
	}
	for i := range all {
		all[i].share = all[i].n / float64(len(loads))
	}
	return all
}

// FromSnapshot answers for the loads given from what a tuner has learned and kept, without statistics: every upstream
// that the loads name must be among what was learned.
func FromSnapshot(cfg Config, s tuner.Snapshot, offered map[string]float64) ([]Answer, error) {
	p, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("read what was learned: %w", err)
	}
	w, names := World{}, slices.Sorted(maps.Keys(offered))
	scv, servers := map[string]float64{}, []tuner.ServerSnapshot(nil)
	for _, pool := range s.Pools {
		for _, g := range pool.Groups {
			scv[g.Name] = g.SCV
		}
		servers = append(servers, pool.Servers...)
	}
	for _, name := range names {
		if _, ok := scv[name]; !ok {
			return nil, fmt.Errorf("nothing was learned of upstream %q", name)
		}
		method := cfg.Tuner.Groups[name].Method
		if method == "" {
			method = tuner.RoundRobin
		}
		w.Services = append(w.Services, Service{Name: name, Method: method, Arrival: "exp",
			OfferedPerSec: offered[name], Admission: cfg.Admission[name],
			FixedWeights: cfg.FixedWeights})
	}
	par := params.Default()
	var members []estimate.Member
	for _, sv := range servers {
		m := estimate.Member{Server: estimate.Restore(sv.Known)}
		for _, name := range sv.Groups {
			m.Group = append(m.Group, slices.Index(names, name))
		}
		if slices.Contains(m.Group, -1) {
			continue // its upstreams are not all among the loads
		}
		srv := Server{Name: sv.Address, ServiceSec: make([]float64, len(names)), Scaling: cfg.Scaling[sv.Address]}
		for k := range m.Group {
			w.Services[m.Group[k]].Links = append(w.Services[m.Group[k]].Links, Link{Server: len(w.Servers)})
			srv.SCV += scv[names[m.Group[k]]] / float64(len(m.Group))
		}
		w.Servers, members = append(w.Servers, srv), append(members, m)
	}
	for k := range w.Services {
		if len(w.Services[k].Links) == 0 {
			return nil, fmt.Errorf("upstream %q shares servers with upstreams that no load is given for: give "+
				"one for each", w.Services[k].Name)
		}
	}
	beliefs := estimate.Believe(&par, members, len(names))
	for j := range w.Servers {
		srv, b := &w.Servers[j], &beliefs[j]
		if !b.Known || len(b.Slots) == 0 {
			return nil, fmt.Errorf("nothing was learned of server %s", srv.Name)
		}
		best := slices.MaxFunc(b.Slots, func(x, y estimate.Hypothesis) int {
			return cmp.Compare(x.Probability, y.Probability)
		})
		srv.Slots = int(best.Slots)
		for k, g := range members[j].Group {
			srv.ServiceSec[g] = best.ServiceSec[k]
		}
	}
	now := w.Start()
	for j := range w.Servers {
		if n := p.levels.Capacity[w.Servers[j].Name]; n > 0 {
			now.Units[j] = n
		}
	}
	return answer(p, []World{w}, now, []load{offered})
}
