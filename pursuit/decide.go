package pursuit

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/tuner"
	"trimtab/weights"
)

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
	beyond := p.beyondReach(&worlds[0], terms)
	if beyond != "" {
		if wanted, ok := p.lighten(&worlds[0], now); ok {
			target, unused := p.allowed(&worlds[0], wanted, now)
			d := control.Decision{Unused: unused, Weights: weights.Set{}, Reason: fmt.Sprintf("%s: servers were never "+
				"seen without a queue: some are refused to see how long requests take", p.cfg.Objective.Kind())}
			p.fill(&d, &worlds[0], target, now, inForce)
			return d
		}
	}
	if wanted, ok := p.drain(&worlds[0], now); ok && beyond == "" {
		target, unused := p.allowed(&worlds[0], wanted, now)
		d := p.draining(&worlds[0], target, now, unused)
		p.fill(&d, &worlds[0], target, now, inForce)
		return d
	}
	p.behind(worlds, pool)
	plan, err := p.plan(worlds, now)
	if err != nil {
		return hold("%v", err)
	}
	p.goal = plan.found
	p.told(&worlds[0], &plan.found)
	if beyond != "" {
		d := hold("%s", beyond)
		// what is refused for a bound that cannot be met is refused for nothing
		d.Levels.Blocked = p.release(&worlds[0])
		return d
	}
	value, known := plan.values[now.key()]
	if !known {
		opt := p.cfg.Search.fit(&plan.worlds[0])
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
		// A part of a plan may be worse than nothing: weights that are good while half is refused, and nothing may be
		// refused now.
		part, known := plan.values[target.key()]
		if !known {
			opt := p.cfg.Search.fit(&plan.worlds[0])
			if part, err = playAll(plan.worlds, &target, p.cfg.Objective, opt, opt.Intervals); err != nil {
				return hold("%v", err)
			}
			plan.values[target.key()] = part
		}
		gain = part.Reward - value.Reward
	}
	if gain < need {
		d.Reason = fmt.Sprintf("hold: the best known setting brings %.1f %% more",
			100*gain/math.Max(math.Abs(value.Reward), 1e-9)) + also
		return d
	}
	if target.Equal(now) {
		d.Reason = "hold: the best known setting is in force, or what differs may not be used" + also
		return d
	}
	p.fill(&d, &worlds[0], target, now, inForce)
	d.Reason = fmt.Sprintf("%s: %.2f instead of %.2f per s expected", p.cfg.Objective.Kind(), plan.found.Value.Reward,
		value.Reward) + also
	return d
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
				unused = append(unused, control.Unused{Control: control.ControlWeights, Of: w.Services[k].Name,
					Reason: "no change of weights is left in the budget"})
			}
		}
	}
	for k := range w.Services {
		if why := p.cfg.Fixed[w.Services[k].Name]; why != "" {
			unused = append(unused, control.Unused{Control: control.ControlWeights, Of: w.Services[k].Name,
				Reason: why})
		}
	}
	for k := range w.Services {
		v := &w.Services[k]
		since, ever := p.blocked[v.Name]
		if left := v.Admission.Settle.Seconds() - (p.elapsed - since); ever && left > 0 &&
			target.Blocked[k] != now.Blocked[k] {
			out.Blocked[k] = now.Blocked[k]
			unused = append(unused, control.Unused{Control: control.ControlAdmission, Of: v.Name,
				Reason: fmt.Sprintf("the last change settles for another %.0f s", left)})
		}
	}
	for j := range w.Servers {
		v := &w.Servers[j]
		since, ever := p.scaled[v.Name]
		pause := math.Max(v.Scaling.CoolDown.Seconds(), v.Scaling.Settle.Seconds())
		if left := pause - (p.elapsed - since); ever && left > 0 && target.Units[j] != now.Units[j] {
			out.Units[j] = now.Units[j]
			unused = append(unused, control.Unused{Control: control.ControlScaling, Of: v.Name,
				Reason: fmt.Sprintf("it cools down for another %.0f s", left)})
		}
	}
	return out, unused
}

// beyondReach is BeyondReach of what requests took of late at the least, where that is less than what is believed: of a
// server with a queue it is not known how long a request takes without waiting.
func (p *Policy) beyondReach(w *World, terms map[string]objective.Terms) string {
	seen := World{Servers: slices.Clone(w.Servers), Services: w.Services}
	for j := range seen.Servers {
		srv := &seen.Servers[j]
		srv.ServiceSec = slices.Clone(srv.ServiceSec)
		for k := range srv.ServiceSec {
			if base := p.quietOf(srv.Name, w.Services[k].Name).base; base > 0 {
				srv.ServiceSec[k] = math.Min(srv.ServiceSec[k], base)
			}
		}
	}
	return BeyondReach(&seen, terms)
}

// lighten is the setting that refuses as many as may be, to see how long requests take; ok is false where it was seen
// of a server, or nobody may be refused.
func (p *Policy) lighten(w *World, now Setting) (s Setting, ok bool) {
	for j := range w.Servers {
		if p.shown[w.Servers[j].Name].light {
			return s, false
		}
	}
	s = now.Clone()
	for k := range w.Services {
		a := w.Services[k].Admission
		s.Blocked[k] = a.Clamp(a.Most)
		ok = ok || a.Most > 0
	}
	return s, ok
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
			out = append(out, fmt.Sprintf("the bound of %s, %.1f ms, cannot be met at any load: a request takes %.1f "+
				"ms more than that without "+
				"waiting; %.1f ms could be", v.Name, t.Bound.Seconds()*1e3, (least-t.Bound.Seconds())*1e3, least*1e3))
		}
	}
	return strings.Join(out, ", ")
}

// missed says which bounds the best setting does not meet with the controls that are allowed, and what each could be at
// least.
func missed(w *World, f *Found, terms map[string]objective.Terms) string {
	var out []string
	for k := range w.Services {
		t := terms[w.Services[k].Name]
		d := f.Value.Mean.Services[k].DelaySec
		if t.Holds(d) {
			continue
		}
		why := fmt.Sprintf("the bound of %s, %.1f ms, is missed by %.1f ms at this load with the controls that are "+
			"allowed", w.Services[k].Name, t.Bound.Seconds()*1e3, (d-t.Bound.Seconds())*1e3)
		if least := f.Least[k]; least < d {
			why += fmt.Sprintf("; %.1f ms could be met", least*1e3)
		}
		out = append(out, why)
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
