package tuner

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/gate"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
	"trimtab/vts"
	"trimtab/weights"
)

// Tuner is the policy that Trimtab exists for. It is used by one goroutine.
type Tuner struct {
	cfg     Config
	params  *params.Params
	table   *objective.Table
	regimes *load.Regimes
	budget  gate.Budget

	pools    []*pool
	layout   []string // of the samples that they are made for
	elapsed  float64  // s of control time
	decision control.Decision
	explain  Explanation
	rng      *rand.Rand // of the twin
	played   float64    // share of a step that the twin has played
	crowded  bool       // pools take turns
	lookAt   float64    // s of control time: when one of them may look at another method
	at       time.Time  // of the last sample
	restored bool       // since then
}

// New returns a tuner.
func New(cfg Config) (*Tuner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure tuner: %w", err)
	}
	cfg = cfg.withDefaults()
	r, err := load.NewRegimes(cfg.Regimes, cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("configure tuner: %w", err)
	}
	p := cfg.Params
	return &Tuner{cfg: cfg, params: p, table: objective.NewTable(), regimes: r,
		rng: rand.New(rand.NewPCG(cfg.Seed, twinStream)),
		budget: gate.Budget{Level: p.BurstChanges, Most: p.BurstChanges, RefillSec: p.RefillSec,
			Unlimited: cfg.Unlimited}}, nil
}

var _ control.Policy = (*Tuner)(nil)

// Observe implements control.Policy: it learns what arrives, what servers are, and works out what is wanted.
func (t *Tuner) Observe(s vts.Sample, inForce weights.Set) {
	t.explain = Explanation{At: s.At}
	t.decision = control.Decision{}
	if s.Interval <= 0 || len(s.Groups) == 0 {
		t.hold("the sample covers no time or no group (" + string(gate.BoundStale) + ")")
		return
	}
	seconds := s.Interval.Seconds()
	t.played = 0
	passed := seconds
	if t.restored && !t.at.IsZero() {
		passed = max(passed, min(s.At.Sub(t.at).Seconds(), longestGap))
	}
	t.at = s.At
	t.elapsed += passed
	t.budget.Advance(passed)
	if now := layout(&s); t.restored || !slices.Equal(now, t.layout) {
		t.layout = now
		t.rebuild(&s)
	}
	if t.restored {
		t.disown(control.InForce(s))
		t.restored = false
	}
	was, _ := t.regime()
	t.explain.Regime = t.regimes.Track(&s)
	t.explain.Next = t.expected()
	want := weights.Set{}
	var reasons []string
	regime, _ := t.regime()
	edited := make([]bool, len(t.pools))
	for i, p := range t.pools {
		edited[i] = p.take(&s, inForce)
		p.watch(&s, edited[i])
		p.observe(t, &s, seconds)
		p.turn.sinceSec += seconds
		p.turn.due = edited[i]
		p.turn.news = p.turn.news || regime != was
	}
	t.takeTurns(seconds)
	for i, p := range t.pools {
		if p.turn.due {
			p.last = p.propose(t, p.believe(t.params), seconds, edited[i])
			p.turn = turn{planned: true}
			if len(reasons) < reasonsMost {
				reasons = append(reasons, p.last.explain.Reason)
			}
		} else {
			p.last = p.waits(t, seconds)
		}
		maps.Copy(want, p.last.want)
		t.explain.Pools = append(t.explain.Pools, p.last.explain)
	}
	t.explain.Reason = strings.Join(reasons, "; ")
	t.explain.Changed = len(want) > 0
	t.explain.Budget = t.budget.Left()
	t.decision = control.Decision{Weights: want, Reason: t.explain.Reason}
}

const reasonsMost = 4 // pools that the line of a decision names

func (t *Tuner) hold(reason string) {
	t.explain.Reason, t.explain.Budget = "hold: "+reason, t.budget.Left()
	t.decision = control.Decision{Reason: t.explain.Reason}
}

// Choose implements control.Policy.
func (t *Tuner) Choose() control.Decision { return t.decision }

// Committed implements control.Policy: the change is paid for, and is ours.
func (t *Tuner) Committed(r control.Receipt) {
	if len(r.Want) == 0 {
		return
	}
	if r.Changed {
		t.budget.Spend()
	}
	for _, p := range t.pools {
		touched := false
		for _, g := range p.groups {
			if want, ok := r.Want[g.name]; ok {
				g.ledger.Asked = maps.Clone(want)
				touched = true
			}
		}
		if !touched {
			continue
		}
		p.gate.Committed()
		p.outlook.committed(r.Changed)
		for g, x := range p.inForce(r.Want) {
			for i, l := range p.groups[g].links {
				if out := l.Useless && x[i] <= shunMost; out != l.Shun.Active {
					p.leftOut(t, l, &l.Shun, out)
				}
			}
		}
		for _, l := range p.last.eject {
			p.leftOut(t, l, &l.Eject, r.Want[l.group().name][l.server.address].Down)
		}
	}
}

// Explain says what was decided last and why.
func (t *Tuner) Explain() Explanation {
	for i := range t.explain.Pools { // which takes as long as a plan: only when somebody asks
		if e := &t.explain.Pools[i]; e.Servers == nil {
			e.servers(t.pools[i])
		}
	}
	return t.explain
}

// take brings the settings of a pool up to date and reports whether somebody else has changed them.
func (p *pool) take(s *vts.Sample, inForce weights.Set) (edited bool) {
	for _, g := range p.groups {
		gs := &s.Groups[g.at]
		now := make(weights.Group, len(g.links))
		for i, l := range g.links {
			setting, ok := inForce[g.name][l.server.address]
			if !ok {
				setting = weights.Setting{Weight: weights.Clamp(gs.Peers[i].Weight), Down: gs.Peers[i].Down}
			}
			l.setting = setting
			if l.Eject.Active && !setting.Down { // somebody else let it back
				l.Eject.Back(false, l.Eject.SinceSec)
			}
			now[l.server.address] = setting
		}
		if g.ledger.observe(now) {
			edited = true
			for _, l := range g.links {
				l.Shun.Back(false, l.Shun.SinceSec)
			}
		}
	}
	return edited
}

// layout names the groups of a sample and their servers.
func layout(s *vts.Sample) (out []string) {
	for i := range s.Groups {
		out = append(out, "", s.Groups[i].Name)
		for j := range s.Groups[i].Peers {
			out = append(out, s.Groups[i].Peers[j].Server)
		}
	}
	return out
}

// rebuild makes pools of the groups of a sample. What is known of a group, or of a server that serves the same groups,
// is kept.
func (t *Tuner) rebuild(s *vts.Sample) {
	oldGroups, oldServers, oldLinks := map[string]*group{}, map[string]*server{}, map[[2]string]linkState{}
	oldPools := map[string]*pool{}
	for _, p := range t.pools {
		oldPools[p.key()] = p
		for _, sv := range p.servers {
			oldServers[sv.address] = sv
		}
		for _, g := range p.groups {
			oldGroups[g.name] = g
			for _, l := range g.links {
				oldLinks[[2]string{g.name, l.server.address}] = l.linkState
			}
		}
	}
	servers := map[string]*server{}
	t.pools = nil
	for i := range s.Groups {
		gs := &s.Groups[i]
		g := oldGroups[gs.Name]
		if g == nil {
			g = t.newGroup(gs.Name)
		}
		g.at, g.links = i, nil
		p := &pool{groups: []*group{g}}
		for _, peer := range gs.Peers {
			sv := servers[peer.Server]
			if sv == nil {
				sv = &server{address: peer.Server, pool: p}
				servers[peer.Server] = sv
				p.servers = append(p.servers, sv)
			} else if sv.pool != p {
				p = merge(sv.pool, p)
			}
			sv.groups = append(sv.groups, g)
			l := oldLinks[[2]string{g.name, sv.address}]
			g.links = append(g.links, &link{server: sv, class: len(sv.groups) - 1, linkState: l})
		}
		if !slices.Contains(t.pools, p) {
			t.pools = append(t.pools, p)
		}
	}
	t.pools = slices.DeleteFunc(t.pools, func(p *pool) bool { return len(p.groups) == 0 })
	for _, p := range t.pools {
		p.experience = newExperience()
		if old := oldPools[p.key()]; old != nil {
			p.gate, p.outlook, p.experience = old.gate, old.outlook, old.experience
			if slices.EqualFunc(p.servers, old.servers, alike) {
				p.quietSec, p.quiet, p.typical = old.quietSec, old.quiet, old.typical
			}
		}
		index := map[*server]int{}
		for j, sv := range p.servers {
			index[sv] = j
			sv.known = estimate.NewServer(len(sv.groups))
			if old := oldServers[sv.address]; old != nil && alike(old, sv) {
				sv.known = old.known
			}
		}
		for _, g := range p.groups {
			for _, l := range g.links {
				l.index = index[l.server]
			}
		}
	}
}

// alike reports whether two servers are the same, and serve the same groups.
func alike(a, b *server) bool {
	return a.address == b.address && slices.Equal(names(a.groups), names(b.groups))
}

// merge puts the groups and servers of b into a.
func merge(a, b *pool) *pool {
	a.groups = append(a.groups, b.groups...)
	a.servers = append(a.servers, b.servers...)
	for _, sv := range b.servers {
		sv.pool = a
	}
	b.groups, b.servers = nil, nil
	return a
}

func (t *Tuner) newGroup(name string) *group {
	c := t.cfg.Groups[name]
	return &group{name: name, method: cmp.Or(c.Method, t.cfg.Method), given: c.Deadline > 0,
		deadline: c.Deadline.Seconds(), priority: c.Priority, bounds: c.Limits, scv: t.params.SCVFirst}
}
