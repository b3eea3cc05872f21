package tuner

import (
	"slices"
	"sort"

	"trimtab/objective"
	"trimtab/vts"
)

// fitAll is the number of servers up to which every number of slots is fitted in every interval.
const fitAll = 64

// pool is a set of groups connected by servers that they share: weights of one group change what another meets, so
// that a pool is decided as a whole. Groups without shared servers are pools of one.
type pool struct {
	key      string // names of the groups, joined
	groups   []*group
	stations []*station
	planner  planner
	due      bool // refitted and decided in this step
	waiting  bool // something happened since its last turn
	large    bool // more servers in groups than one step can work on
	next     int  // server whose turn it is to be refitted, when large
	exposed  exposure
	order
	force
}

// names are those of the pool's groups.
func (p *pool) names() []string {
	names := make([]string, len(p.groups))
	for i, g := range p.groups {
		names[i] = g.name
	}
	return names
}

// topology is who uses whom, as one sample shows it.
type topology struct {
	pools    []*pool
	groups   map[string]*group
	stations map[string]*station
	links    int // servers in groups
}

// fits reports whether the sample shows the same groups and servers.
func (t *topology) fits(s *vts.Sample) bool {
	if t.groups == nil || len(t.groups) != len(s.Groups) {
		return false
	}
	for i := range s.Groups {
		g := t.groups[s.Groups[i].Name]
		if g == nil || len(g.links) != len(s.Groups[i].Peers) {
			return false
		}
		for j := range s.Groups[i].Peers {
			if g.links[j].station.address != s.Groups[i].Peers[j].Server {
				return false
			}
		}
	}
	return true
}

// rebuild makes the topology of a sample, keeping what is known of groups and of servers whose use has not changed.
func (t *topology) rebuild(s *vts.Sample, cfg *Config, w *waits, tardy *objective.Table) {
	old := *t
	*t = topology{groups: make(map[string]*group, len(s.Groups)), stations: make(map[string]*station)}
	var order []*station
	for i := range s.Groups {
		g := newGroup(s.Groups[i].Name, cfg)
		if o := old.groups[g.name]; o != nil {
			g.rate, g.cv2, g.learned = o.rate, o.cv2, o.learned
			if !g.given {
				g.deadline = o.deadline
			}
		}
		t.groups[g.name] = g
		for _, p := range s.Groups[i].Peers {
			st := t.stations[p.Server]
			if st == nil {
				st = &station{address: p.Server}
				t.stations[p.Server] = st
				order = append(order, st)
			}
			t.links++
			l := &link{group: g, station: st, at: len(g.links), pos: len(st.links)}
			g.links = append(g.links, l)
			st.links = append(st.links, l)
			if o := old.link(g.name, p.Server); o != nil {
				l.errors, l.errorsOf, l.ejected = o.errors, o.errorsOf, o.ejected
			}
		}
	}
	for _, st := range order {
		if o := old.stations[st.address]; o != nil && o.sameUse(st) {
			st.points, st.stored, st.fit, st.slots, st.likely = o.points, o.stored, o.fit, o.slots, o.likely
			st.inside, st.against, st.expected = o.inside, o.against, o.expected
		}
	}
	t.connect(s, order, w, tardy, cfg)
}

func newGroup(name string, cfg *Config) *group {
	c := cfg.Groups[name]
	g := &group{name: name, method: c.Method, priority: max(c.Priority, 1), deadline: c.Deadline.Seconds(),
		given: c.Deadline > 0, cv2: 0.3}
	if g.method == "" {
		g.method = cfg.Method
	}
	return g
}

func (t *topology) link(group, server string) *link {
	g := t.groups[group]
	if g == nil {
		return nil
	}
	for _, l := range g.links {
		if l.station.address == server {
			return l
		}
	}
	return nil
}

// sameUse reports whether both stations serve the same groups in the same order.
func (s *station) sameUse(o *station) bool {
	if len(s.links) != len(o.links) {
		return false
	}
	for i := range s.links {
		if s.links[i].group.name != o.links[i].group.name {
			return false
		}
	}
	return true
}

// connect finds the pools.
func (t *topology) connect(s *vts.Sample, order []*station, w *waits, tardy *objective.Table, cfg *Config) {
	of := make(map[*group]*pool)
	for i := range s.Groups {
		g := t.groups[s.Groups[i].Name]
		if of[g] != nil {
			continue
		}
		p := &pool{}
		t.pools = append(t.pools, p)
		of[g] = p
		for todo := []*group{g}; len(todo) > 0; {
			next := todo[0]
			todo = todo[1:]
			p.groups = append(p.groups, next)
			for _, l := range next.links {
				for _, m := range l.station.links {
					if of[m.group] == nil {
						of[m.group] = p
						todo = append(todo, m.group)
					}
				}
			}
		}
	}
	for _, p := range t.pools {
		sort.Slice(p.groups, func(i, j int) bool { return p.groups[i].name < p.groups[j].name })
		links := 0
		for i, g := range p.groups {
			g.index = i
			links += len(g.links)
			p.large = links > stepWork
			p.key += g.name + "\n"
		}
	}
	scratch := &fitter{}
	for _, st := range order {
		st.fitter = scratch
		st.every = len(order) <= fitAll
		st.pooled = slices.ContainsFunc(st.links, func(l *link) bool { return l.group.method == LeastConn })
		p := of[st.links[0].group]
		p.stations = append(p.stations, st)
	}
	for _, p := range t.pools {
		p.planner = planner{waits: w, tardy: tardy, headroom: cfg.Headroom, meanShare: 0.2, errorTardiness: cfg.ErrorTardiness, horizon: cfg.Interval.Seconds()}
		p.planner.setUp(p.groups, p.stations)
	}
}
