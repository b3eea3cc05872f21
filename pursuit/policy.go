package pursuit

import (
	"errors"
	"fmt"
	"maps"
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

// Config parameterises a Policy. The zero value of a field means its default.
type Config struct {
	Objective objective.Objective // required
	// Tuner is that of the beliefs: its groups say the balancing methods.
	Tuner tuner.Config
	// Admission are the limits by upstream, of those whose requests may be refused; missing: admission is off there.
	Admission map[string]control.AdmissionLimits
	// Scaling are the limits by server, of those whose capacity may be changed; missing: scaling is off there.
	Scaling map[string]control.ScalingLimits
	// Units are those in force at the start, by server; a server of Scaling that is missing has Max.
	Units map[string]int
	// FixedWeights takes weights out of the controls.
	FixedWeights bool
	// Fixed are upstreams whose weights are no control, with the reason.
	Fixed map[string]string
	// Watch is how long the load is watched before anything is changed; default 60 s.
	Watch time.Duration
	// MinGain is the least part of the reward that a change must bring on the twin, of that of requests without promises where there
	// are some; default 0.01.
	MinGain float64
	// Search are the options of the search; Interval is the tuner's.
	Search Options
}

const (
	defaultWatch   = time.Minute
	defaultMinGain = 0.01
	believedWorlds = 3    // that plans are averaged over, while numbers of slots are not known
	loadStep       = 0.05 // in the logarithm of a load: plans are made for loads as far apart,
	loadBand       = 0.04 // and the load is another one when it is further from the one that was planned for
	movedBelief    = 0.01 // in the logarithm of a service time: beliefs that moved further want a new plan
)

// Validate reports all faults.
func (c Config) Validate() error {
	var errs []error
	if c.Objective == nil {
		errs = append(errs, errors.New("no objective"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Admission)) {
		if err := c.Admission[name].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("admission of %s: %w", name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Scaling)) {
		l := c.Scaling[name]
		if err := l.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("scaling of %s: %w", name, err))
		}
		if u, ok := c.Units[name]; ok && l.On() && (u < l.Min || u > l.Max) {
			errs = append(errs, fmt.Errorf("scaling of %s: it has %d units, want %d to %d", name, u, l.Min, l.Max))
		}
	}
	if c.Watch < 0 || !(c.MinGain >= 0 && c.MinGain < 1) {
		errs = append(errs, fmt.Errorf("watch %v, min_gain %v: want 0 (default) or more, and below 1", c.Watch, c.MinGain))
	}
	return errors.Join(errs...)
}

// Policy pursues an objective. It is used by one goroutine.
type Policy struct {
	cfg   Config
	tuner *tuner.Tuner

	offered map[string]*arrivals
	courses map[string]*course
	quiet   map[string]map[string]*quiet // by server and upstream
	servers map[string]*given
	narrow  map[string]*narrow // by server
	levels  control.Levels
	scaled  map[string]float64 // control time at which the capacity of a server was last changed, s
	blocked map[string]float64 // control time at which the share of an upstream was last changed, s
	elapsed float64
	watched float64 // s
	plans   map[string]*planned
	loads   map[string]int // steps of the load that plans are made for, by service
	weighed float64        // s since weights were changed

	decision control.Decision
	explain  *tuner.ObjectiveExplanation
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
	p := &Policy{cfg: cfg, tuner: t, offered: map[string]*arrivals{}, courses: map[string]*course{}, quiet: map[string]map[string]*quiet{}, servers: map[string]*given{}, narrow: map[string]*narrow{}, scaled: map[string]float64{},
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
	p.watch(&seen, seconds)
	out := objective.Observe(s, p.cfg.Objective.Terms(), p.units())
	p.explain = &tuner.ObjectiveExplanation{Kind: p.cfg.Objective.Kind(), Reward: p.cfg.Objective.Reward(out), Capacity: p.units(),
		Services: map[string]tuner.ServiceExplanation{}, Levels: p.levels.Clone()}
	for _, v := range out.Services {
		t := p.cfg.Objective.Terms()[v.Name]
		p.explain.Services[v.Name] = tuner.ServiceExplanation{BoundMS: t.Bound.Seconds() * 1e3, OfferedPerSec: v.OfferedPerSec,
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

// watch learns what is offered, and what servers of known slots are.
func (p *Policy) watch(s *vts.Sample, seconds float64) {
	seen := map[string][]seenClass{}
	for i := range s.Groups {
		g := &s.Groups[i]
		a := p.offered[g.Name]
		if a == nil {
			a = &arrivals{}
			p.offered[g.Name], p.courses[g.Name] = a, &course{}
		}
		finished, spent := float64(g.Requests()), 0.0
		for _, peer := range g.Peers {
			spent += float64(peer.ResponseMsec) / 1e3
		}
		was := a.perSec() * (1 - p.levels.Blocked[g.Name]) * seconds
		a.observe(p.courses[g.Name].arrived(finished, spent/math.Max(finished, 1), seconds, was)+float64(g.Refused), seconds)
		for _, peer := range g.Peers {
			n := float64(peer.Requests) - float64(peer.Responses.Errors())
			if objective.GaveUp(&peer) {
				n -= float64(peer.Responses[3])
			}
			c := seenClass{perSec: n / seconds, count: n}
			if peer.Requests > 0 {
				c.responseSec = float64(peer.ResponseMsec) / float64(peer.Requests) / 1e3
			}
			seen[peer.Server] = append(seen[peer.Server], c)
			p.quietOf(peer.Server, g.Name).observe(c, seconds)
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
		for _, sv := range pool.Servers {
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

// decide works out what is wanted for every pool, and why not.
func (p *Policy) decide(inForce weights.Set) {
	var reasons []string
	want := weights.Set{}
	levels := control.Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}
	for _, pool := range p.tuner.Beliefs() {
		d := p.decidePool(&pool, inForce)
		maps.Copy(want, d.Weights)
		maps.Copy(levels.Blocked, d.Levels.Blocked)
		maps.Copy(levels.Capacity, d.Levels.Capacity)
		p.decision.Unused = append(p.decision.Unused, d.Unused...)
		reasons = append(reasons, d.Reason)
	}
	p.decision.Weights, p.decision.Levels = want, levels
	p.decision.Reason = strings.Join(reasons, "; ")
}

func hold(format string, args ...any) control.Decision {
	return control.Decision{Reason: "hold: " + fmt.Sprintf(format, args...)}
}

func (p *Policy) decidePool(pool *tuner.PoolBelief, inForce weights.Set) control.Decision {
	terms := p.cfg.Objective.Terms()
	for _, g := range pool.Groups {
		if _, ok := terms[g.Name]; !ok {
			return hold("upstream %s has no place in the objective", g.Name)
		}
	}
	if pool.Edited {
		return hold("somebody else changed the weights: they are the base now")
	}
	if left := p.cfg.Watch.Seconds() - p.watched; left > 0 {
		return hold("watching the load for another %.0f s", left)
	}
	worlds, why := p.worlds(pool)
	if why != "" {
		return hold("%s", why)
	}
	now := p.setting(&worlds[0], inForce)
	plan, err := p.plan(worlds, now)
	if err != nil {
		return hold("%v", err)
	}
	p.goal = plan.found
	p.told(&worlds[0], &plan.found)
	if why := BeyondReach(&worlds[0], terms); why != "" {
		d := hold("%s", why)
		d.Levels.Blocked = p.release(&worlds[0]) // what is refused for a bound that cannot be met is refused for nothing
		return d
	}
	value, known := plan.values[now.key()]
	if !known {
		opt := p.search().fit(&plan.worlds[0])
		if value, err = playAll(plan.worlds, &now, p.cfg.Objective, opt, opt.Intervals); err != nil {
			return hold("%v", err)
		}
		plan.values[now.key()] = value
	}
	p.explain.InForce += value.Reward
	p.explain.Best += plan.found.Value.Reward
	also := missed(&worlds[0], &plan.found, terms)
	if also != "" {
		also = "; " + also
	}
	target, unused := p.allowed(&worlds[0], plan.found.Setting, now)
	d := control.Decision{Unused: unused, Weights: weights.Set{}}
	gain := plan.found.Value.Reward - value.Reward
	need := p.cfg.MinGain * math.Max(p.worth(&value), p.worth(&plan.found.Value))
	if gain >= need && !target.Equal(plan.found.Setting) && !target.Equal(now) {
		// A part of a plan may be worse than nothing: weights that are good while half is refused, and nothing may be refused now.
		part, known := plan.values[target.key()]
		if !known {
			opt := p.search().fit(&plan.worlds[0])
			if part, err = playAll(plan.worlds, &target, p.cfg.Objective, opt, opt.Intervals); err != nil {
				return hold("%v", err)
			}
			plan.values[target.key()] = part
		}
		gain = part.Reward - value.Reward
	}
	if gain < need {
		d.Reason = fmt.Sprintf("hold: the best known setting brings %.1f %% more", 100*gain/math.Max(math.Abs(value.Reward), 1e-9)) + also
		return d
	}
	if target.Equal(now) {
		d.Reason = "hold: the best known setting is in force, or what differs may not be used" + also
		return d
	}
	p.fill(&d, &worlds[0], target, now, inForce)
	d.Reason = fmt.Sprintf("%s: %.2f instead of %.2f per s expected", p.cfg.Objective.Kind(), plan.found.Value.Reward, value.Reward) + also
	return d
}

// worth is what MinGain is a part of: the reward, or where promises make up most of it the worth of the requests alone. Requests
// of others that would fit are not left out for being few beside what is promised.
func (p *Policy) worth(v *Value) float64 {
	if r, ok := p.cfg.Objective.(objective.Requests); ok {
		return math.Abs(r.PlainWorth(v.Mean))
	}
	return math.Abs(v.Reward)
}

// fill puts into a decision what differs.
func (p *Policy) fill(d *control.Decision, w *World, target, now Setting, inForce weights.Set) {
	d.Levels = control.Levels{Blocked: map[string]float64{}, Capacity: map[string]int{}}
	set := w.Weigh(target, inForce)
	for k := range w.Services {
		name := w.Services[k].Name
		if !sameShares(target.Weights[k], now.Weights[k]) && !set[name].Equal(inForce[name]) {
			d.Weights[name] = set[name]
		}
		if target.Blocked[k] != now.Blocked[k] {
			d.Levels.Blocked[name] = target.Blocked[k]
		}
	}
	for j := range w.Servers {
		if target.Units[j] != now.Units[j] {
			d.Levels.Capacity[w.Servers[j].Name] = target.Units[j]
		}
	}
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

// release are the shares that let everybody in.
func (p *Policy) release(w *World) map[string]float64 {
	out := map[string]float64{}
	for k := range w.Services {
		if name := w.Services[k].Name; p.levels.Blocked[name] > 0 {
			out[name] = 0
		}
	}
	return out
}

// allowed is the target with what may not be changed now left as it is, and why.
func (p *Policy) allowed(w *World, target, now Setting) (Setting, []control.Unused) {
	out := target.Clone()
	var unused []control.Unused
	differs := func(k int) bool { return !sameShares(target.Weights[k], now.Weights[k]) }
	if budget := p.tuner.Explain().Budget; !p.cfg.Tuner.Unlimited && budget < 1 && !p.cfg.FixedWeights {
		for k := range w.Services {
			if differs(k) {
				out.Weights[k] = slices.Clone(now.Weights[k])
				unused = append(unused, control.Unused{Control: control.ControlWeights, Of: w.Services[k].Name, Reason: "no change of weights is left in the budget"})
			}
		}
	}
	for k := range w.Services {
		if why := p.cfg.Fixed[w.Services[k].Name]; why != "" {
			unused = append(unused, control.Unused{Control: control.ControlWeights, Of: w.Services[k].Name, Reason: why})
		}
	}
	for k := range w.Services {
		v := &w.Services[k]
		since, ever := p.blocked[v.Name]
		if left := v.Admission.Settle.Seconds() - (p.elapsed - since); ever && left > 0 && target.Blocked[k] != now.Blocked[k] {
			out.Blocked[k] = now.Blocked[k]
			unused = append(unused, control.Unused{Control: control.ControlAdmission, Of: v.Name, Reason: fmt.Sprintf("the last change settles for another %.0f s", left)})
		}
	}
	for j := range w.Servers {
		v := &w.Servers[j]
		since, ever := p.scaled[v.Name]
		pause := math.Max(v.Scaling.CoolDown.Seconds(), v.Scaling.Settle.Seconds())
		if left := pause - (p.elapsed - since); ever && left > 0 && target.Units[j] != now.Units[j] {
			out.Units[j] = now.Units[j]
			unused = append(unused, control.Unused{Control: control.ControlScaling, Of: v.Name, Reason: fmt.Sprintf("it cools down for another %.0f s", left)})
		}
	}
	return out, unused
}

// BeyondReach says which bounds no load is light enough for, by how much, and what could be met; empty: all can be.
func BeyondReach(w *World, terms map[string]objective.Terms) string {
	var out []string
	for k := range w.Services {
		v := &w.Services[k]
		t := terms[v.Name]
		least := math.Inf(1)
		for _, l := range v.Links {
			srv := &w.Servers[l.Server]
			alone := srv.ServiceSec[k]
			if t.Quantile > 0 {
				alone = objective.LognormalQuantile(alone, srv.SCV*alone*alone, t.Quantile)
			}
			if !l.Off {
				least = math.Min(least, alone)
			}
		}
		if t.Bound > 0 && least > t.Bound.Seconds() {
			out = append(out, fmt.Sprintf("the bound of %s, %.1f ms, cannot be met at any load: a request takes %.1f ms more than that without "+
				"waiting; %.1f ms could be", v.Name, t.Bound.Seconds()*1e3, (least-t.Bound.Seconds())*1e3, least*1e3))
		}
	}
	return strings.Join(out, ", ")
}

// missed says which bounds the best setting does not meet with the controls that are allowed, and what each could be at least.
func missed(w *World, f *Found, terms map[string]objective.Terms) string {
	var out []string
	for k := range w.Services {
		t := terms[w.Services[k].Name]
		d := f.Value.Mean.Services[k].DelaySec
		if t.Holds(d) {
			continue
		}
		out = append(out, fmt.Sprintf("the bound of %s, %.1f ms, is missed by %.1f ms at this load with the controls that are allowed",
			w.Services[k].Name, t.Bound.Seconds()*1e3, (d-t.Bound.Seconds())*1e3))
	}
	return strings.Join(out, ", ")
}

// told puts what is expected of the plan into the explanation.
func (p *Policy) told(w *World, f *Found) {
	p.explain.Looked += f.Looked
	p.explain.Played += f.Played
	for k := range w.Services {
		name := w.Services[k].Name
		e := p.explain.Services[name]
		m := f.Value.Mean.Services[k]
		e.ExpectedPerSec, e.ExpectedDelayMS, e.ExpectedHeld = m.CarriedPerSec, m.DelaySec*1e3, f.Value.Held[k]
		if !math.IsInf(f.Least[k], 1) {
			e.LeastDelayMS = f.Least[k] * 1e3
		}
		p.explain.Services[name] = e
	}
}

func (p *Policy) search() Options {
	o := p.cfg.Search
	if o.Interval == 0 {
		o.Interval = p.cfg.Tuner.Interval
	}
	return o
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
	o := p.search()
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
