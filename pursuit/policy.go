package pursuit

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

const (
	defaultWatch   = time.Minute
	defaultMinGain = 0.01
	believedWorlds = 3    // that plans are averaged over, while numbers of slots are not known
	loadStep       = 0.05 // in the logarithm of a load: plans are made for loads as far apart,
	loadBand       = 0.04 // and the load is another one when it is further from the one that was planned for
	refusedEnough  = 0.2  // share from which those who are refused say how many are offered
	movedBelief    = 0.01 // in the logarithm of a service time: beliefs that moved further want a new plan
)

// Policy pursues an objective. It is used by one goroutine.
type Policy struct {
	cfg   Config
	tuner *tuner.Tuner

	offered map[string]*arrivals
	quiet   map[string]map[string]*quiet // by server and upstream
	servers map[string]*given
	shown   map[string]shown // by server
	left    map[string]bool  // servers whose clients gave up in the last interval
	levels  control.Levels
	scaled  map[string]float64 // control time at which the capacity of a server was last changed, s
	blocked map[string]float64 // control time at which the share of an upstream was last changed, s
	elapsed float64
	watched float64 // s
	plans   map[string]*planned
	loads   map[string]int // steps of the load that plans are made for, by service
	weighed float64        // s since weights were changed

	decision control.Decision
	explain  *control.ObjectiveExplanation
	goal     Found // the plan of the last interval
}

// planned is a plan with the worlds that it was made for.
type planned struct {
	found  Found
	worlds []World
	values map[string]Value // of settings that were in force, by key
}

// New returns a policy that has learned nothing yet.
func New(cfg Config) (*Policy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure the objective: %w", err)
	}
	if cfg.Watch == 0 {
		cfg.Watch = defaultWatch
	}
	if cfg.MinGain == 0 {
		cfg.MinGain = defaultMinGain
	}
	t, err := tuner.New(cfg.Tuner)
	if err != nil {
		return nil, err
	}
	p := &Policy{cfg: cfg, tuner: t, offered: map[string]*arrivals{},
		quiet: map[string]map[string]*quiet{}, servers: map[string]*given{}, shown: map[string]shown{},
		left: map[string]bool{}, scaled: map[string]float64{},
		blocked: map[string]float64{}, plans: map[string]*planned{}, loads: map[string]int{}, weighed: math.Inf(1)}
	p.levels = control.Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}
	for name, l := range cfg.Scaling {
		if p.levels.Capacity[name] = l.Max; cfg.Units[name] > 0 {
			p.levels.Capacity[name] = cfg.Units[name]
		}
	}
	return p, nil
}

var _ control.Policy = (*Policy)(nil)

// Tuner is the tuner whose beliefs the policy goes by.
func (p *Policy) Tuner() *tuner.Tuner { return p.tuner }

// Levels are where the controls beside weights stand.
func (p *Policy) Levels() control.Levels { return p.levels.Clone() }

// Choose implements control.Policy.
func (p *Policy) Choose() control.Decision { return p.decision }

// Committed implements control.Policy.
func (p *Policy) Committed(r control.Receipt) {
	p.tuner.Committed(r)
	if len(r.Want) > 0 && r.Changed {
		p.weighed = 0
	}
	for name := range r.Levels.Capacity {
		p.scaled[name] = p.elapsed
	}
	for name := range r.Levels.Blocked {
		p.blocked[name] = p.elapsed
	}
	p.levels = p.levels.With(r.Levels)
}

// SetUnits tells what servers have whose capacity is a control, as their hook says it.
func (p *Policy) SetUnits(units map[string]int) {
	for name, n := range units {
		if l := p.cfg.Scaling[name]; l.On() && n > 0 {
			p.levels.Capacity[name] = n
		}
	}
}

// Snapshot returns what was learned of servers and load.
func (p *Policy) Snapshot() (tuner.Snapshot, error) { return p.tuner.Snapshot() }

// Restore takes over what another policy or tuner has learned, before the first Observe.
func (p *Policy) Restore(s tuner.Snapshot) error { return p.tuner.Restore(s) }

// Offered are the requests per second that upstreams are believed to be offered.
func (p *Policy) Offered() map[string]float64 {
	out := make(map[string]float64, len(p.offered))
	for name, a := range p.offered {
		out[name] = a.perSec()
	}
	return out
}

// Released tells that admission has let everybody in again without having been asked to: telemetry was gone.
func (p *Policy) Released() { p.levels.Blocked = map[string]float64{} }

// Explain says what was decided last and why.
func (p *Policy) Explain() tuner.Explanation {
	e := p.tuner.Explain()
	e.Objective = p.explain
	if p.explain != nil {
		e.Reason, e.Changed = p.decision.Reason, !p.decision.Empty()
	}
	return e
}

// Observe implements control.Policy: it learns, and works out what is wanted.
func (p *Policy) Observe(s vts.Sample, inForce weights.Set) {
	seen := waited(s)
	p.tuner.Observe(seen, inForce)
	p.decision, p.explain = control.Decision{}, nil
	if s.Interval <= 0 {
		p.decision.Reason = "hold: the sample covers no time"
		return
	}
	seconds := s.Interval.Seconds()
	p.elapsed += seconds
	p.weighed += seconds
	p.watch(&s, &seen, inForce, seconds)
	out := objective.Observe(s, p.cfg.Objective.Terms(), p.units())
	p.explain = &control.ObjectiveExplanation{Kind: p.cfg.Objective.Kind(), Reward: p.cfg.Objective.Reward(out),
		Capacity: p.units(),
		Services: map[string]control.ServiceExplanation{}, Levels: p.levels.Clone()}
	for _, v := range out.Services {
		t := p.cfg.Objective.Terms()[v.Name]
		p.explain.Services[v.Name] = control.ServiceExplanation{BoundMS: t.Bound.Seconds() * 1e3,
			OfferedPerSec: v.OfferedPerSec,
			CarriedPerSec: v.CarriedPerSec, DelayMS: v.DelaySec * 1e3, Held: t.Holds(v.DelaySec)}
	}
	p.decide(inForce)
	p.explain.Reason, p.explain.Unused = p.decision.Reason, p.decision.Unused
}

// units are the units in force of all servers that are scaled.
func (p *Policy) units() float64 {
	sum := 0
	for _, n := range p.levels.Capacity {
		sum += n
	}
	return float64(sum)
}

// watch learns what is offered, and what servers of known slots are, from a sample as it was counted and as waited has
// it.
func (p *Policy) watch(counted, s *vts.Sample, inForce weights.Set, seconds float64) {
	seen := map[string][]seenClass{}
	clear(p.left)
	for i := range s.Groups {
		g := &s.Groups[i]
		a := p.offered[g.Name]
		if a == nil {
			a = &arrivals{}
			p.offered[g.Name] = a
		}
		blocked, total := p.levels.Blocked[g.Name], 0
		for _, peer := range g.Peers {
			if s := inForce[g.Name][peer.Server]; !s.Down {
				total += s.Weight.Int()
			}
		}
		sent := make([]float64, len(g.Peers)) // part of what is let in
		offered, queues := float64(g.Refused), false
		for j, peer := range g.Peers {
			if set := inForce[g.Name][peer.Server]; !set.Down {
				sent[j] = (1 - blocked) * float64(set.Weight.Int()) / float64(max(total, 1))
			}
			n := float64(peer.Requests) - float64(peer.Responses.Errors())
			if objective.GaveUp(&counted.Groups[i].Peers[j]) {
				n -= float64(peer.Responses[3])
				p.left[peer.Server] = true
			}
			c := seenClass{perSec: n / seconds, count: n}
			if peer.Requests > 0 {
				c.responseSec = float64(peer.ResponseMsec) / float64(peer.Requests) / 1e3
			}
			seen[peer.Server] = append(seen[peer.Server], c)
			q := p.quietOf(peer.Server, g.Name)
			q.observe(c, seconds)
			came, waits := q.arrived(float64(peer.Requests), seconds, a.perSec()*sent[j]*seconds)
			offered, queues = offered+came, queues || waits
		}
		if queues && blocked >= refusedEnough { // who is refused waits at no server
			offered = float64(g.Refused) / blocked
		}
		a.observe(offered, seconds, queues)
		for j, peer := range g.Peers {
			if set := inForce[g.Name][peer.Server]; !set.Down {
				p.quietOf(peer.Server, g.Name).queue(a.perSec()*sent[j], seconds)
			}
		}
	}
	total := uint64(0)
	for i := range s.Groups {
		total += s.Groups[i].Requests()
	}
	if total > 0 {
		p.watched += seconds
	}
	for _, pool := range p.tuner.Beliefs() {
		for j, sv := range pool.Servers {
			p.show(&pool, j, inForce, seconds)
			l, ok := p.cfg.Scaling[sv.Address]
			if !ok || !l.On() {
				continue
			}
			g := p.servers[sv.Address]
			if g == nil {
				g = &given{}
				p.servers[sv.Address] = g
			}
			scv, regular := 0.0, 0.0
			for _, grp := range pool.Groups {
				scv += grp.SCV / float64(len(pool.Groups))
				regular += p.offered[grp.Name].regular() / float64(len(pool.Groups)*max(len(grp.Links), 1))
			}
			slots := float64(p.levels.Capacity[sv.Address] * max(l.SlotsPerUnit, 1))
			g.observe(seen[sv.Address], slots, regular, scv, seconds)
		}
	}
}

// worth is what MinGain is a part of: the reward, or where promises make up most of it the worth of the requests alone.
// Requests of others that would fit are not left out for being few beside what is promised.
func (p *Policy) worth(v *Value) float64 {
	if r, ok := p.cfg.Objective.(objective.Requests); ok {
		return math.Abs(r.PlainWorth(v.Mean))
	}
	return math.Abs(v.Reward)
}

// sameShares reports whether two lists of weights divide requests alike.
func sameShares(a, b []int) bool {
	sumA, sumB := 0, 0
	for i := range a {
		sumA, sumB = sumA+a[i], sumB+b[i]
	}
	for i := range a {
		if a[i]*sumB != b[i]*sumA {
			return false
		}
	}
	return true
}

// plan is the best setting for the worlds, from memory while load and beliefs are what they were.
func (p *Policy) plan(worlds []World, now Setting) (*planned, error) {
	var key strings.Builder
	w := &worlds[0]
	for k := range w.Services {
		v := &w.Services[k]
		load0 := v.OfferedPerSec
		load := math.Log(math.Max(load0, leastLoad))
		step, known := p.loads[v.Name]
		if !known || math.Abs(load-float64(step)*loadStep) > loadBand {
			step = int(math.Round(load / loadStep))
			p.loads[v.Name] = step
		}
		fmt.Fprintf(&key, "%s %d %s;", v.Name, step, v.Arrival)
		if v.FixedWeights {
			fmt.Fprint(&key, now.Weights[k])
		}
		for i := range worlds {
			worlds[i].Services[k].OfferedPerSec *= math.Exp(float64(step)*loadStep) / math.Max(load0, leastLoad)
		}
	}
	if known := p.plans[key.String()]; known != nil && alike(known.worlds, worlds) {
		return known, nil
	}
	o := p.cfg.Search
	if slices.ContainsFunc(w.Services, func(v Service) bool { return v.FixedWeights }) {
		o.InForce = &now
	}
	found, err := Search(worlds, p.cfg.Objective, o)
	if err != nil {
		return nil, err
	}
	if len(p.plans) >= mostPlans {
		clear(p.plans)
	}
	made := &planned{found: found, worlds: worlds, values: map[string]Value{}}
	p.plans[key.String()] = made
	return made, nil
}

// leastLoad is what less than one request in a quarter of an hour is taken for, per s.
const leastLoad = 1e-3

// mostPlans bounds the memory of plans.
const mostPlans = 4096

// alike reports whether two lists of worlds are the same but for what no plan changes with.
func alike(a, b []World) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].Servers) != len(b[i].Servers) || len(a[i].Services) != len(b[i].Services) {
			return false
		}
		for k := range a[i].Services {
			if !slices.Equal(a[i].Services[k].Links, b[i].Services[k].Links) {
				return false
			}
		}
		for j := range a[i].Servers {
			x, y := &a[i].Servers[j], &b[i].Servers[j]
			if x.Name != y.Name || x.Slots != y.Slots && !x.Scaling.On() || len(x.ServiceSec) != len(y.ServiceSec) {
				return false
			}
			for k := range x.ServiceSec {
				if math.Abs(math.Log(math.Max(x.ServiceSec[k], 1e-9)/math.Max(y.ServiceSec[k], 1e-9))) > movedBelief {
					return false
				}
			}
		}
	}
	return true
}
