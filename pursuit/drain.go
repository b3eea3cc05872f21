package pursuit

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"trimtab/control"
	"trimtab/objective"
	"trimtab/weights"
)

const (
	drainFrom = 0.1  // of an interval: queues that last longer are drained before anything else is sought,
	drainTo   = 0.75 // of an interval in which they are to be gone
)

// drain is the setting under which what waits is served before anything new: a server with a queue is sent what it has
// room for beside it, and what fits nowhere is refused, in the order of what requests are worth per work. The formula
// cannot say so: it knows servers that are in balance, and to it every share of one that is not is without bound. ok is
// false where nothing waits long, where nobody may be refused, where weights are no control, and where NGINX balances
// by load.
func (p *Policy) drain(w *World, now Setting) (s Setting, ok bool) {
	interval := p.cfg.Search.Interval.Seconds()
	room, total, refusable := make([]float64, len(w.Servers)), 0.0, false
	for k := range w.Services {
		v := &w.Services[k]
		if v.FixedWeights || v.Method.LoadAware() {
			return s, false
		}
		refusable = refusable || v.Admission.Most > 0
	}
	for j := range w.Servers {
		srv := &w.Servers[j]
		if srv.Scaling.On() {
			return s, false
		}
		slots := float64(srv.Slots)
		if is := p.shown[srv.Name]; is.low > 0 && !is.full {
			slots = math.Min(slots, is.low)
		}
		work := 0.0 // that waits, s
		for k := range w.Services {
			work += p.quietOf(srv.Name, w.Services[k].Name).held * srv.ServiceSec[k]
		}
		work = math.Max(0, work-waitsShare*p.meanService(w, j)*slots)
		ok = ok || work > drainFrom*interval*slots
		room[j] = math.Max(0, drainUsed*(slots-work/(drainTo*interval)))
		total += room[j]
	}
	if !ok || !refusable {
		return s, false
	}
	s = now.Clone()
	left := total
	for _, k := range p.byWorth(w) {
		v := &w.Services[k]
		by, sec := make([]float64, len(v.Links)), 0.0
		for i, l := range v.Links {
			if srv := &w.Servers[l.Server]; !l.Off && srv.ServiceSec[k] > 0 {
				by[i] = room[l.Server] / srv.ServiceSec[k]
				sec += room[l.Server] * srv.ServiceSec[k] / math.Max(total, 1e-9)
			}
		}
		if most := slices.Max(by); most > 0 {
			for i := range by { // a hundredth is the least that a server can be given
				s.Weights[k][i] = max(1, int(math.Round(by[i]/most*weights.Max)))
			}
		}
		if sec <= 0 {
			sec = p.meanService(w, v.Links[0].Server)
		}
		admitted := math.Min(v.OfferedPerSec, math.Max(0, left)/sec)
		if v.Admission.Most > 0 && v.OfferedPerSec > 0 {
			s.Blocked[k] = v.Admission.Clamp(1 - admitted/v.OfferedPerSec)
			admitted = (1 - s.Blocked[k]) * v.OfferedPerSec
		}
		left -= admitted * sec
	}
	return s, true
}

// meanService is the mean service time of a server over what it is offered, s.
func (p *Policy) meanService(w *World, j int) float64 {
	sum, n := 0.0, 0.0
	for k := range w.Services {
		sum += w.Services[k].OfferedPerSec * w.Servers[j].ServiceSec[k]
		n += w.Services[k].OfferedPerSec
	}
	return sum / math.Max(n, 1e-9)
}

// byWorth are the services in the order in which they are let in: first those that cannot be refused, then by what a
// request within its bound is worth per work.
func (p *Policy) byWorth(w *World) []int {
	worth := make([]float64, len(w.Services))
	order := make([]int, len(w.Services))
	for k := range w.Services {
		v := &w.Services[k]
		order[k] = k
		if v.Admission.Most <= 0 {
			worth[k] = math.Inf(1)
			continue
		}
		sec := 0.0
		for _, l := range v.Links {
			sec += w.Servers[l.Server].ServiceSec[k] / float64(len(v.Links))
		}
		reward := func(carried float64) float64 {
			return p.cfg.Objective.Reward(objective.Outcome{Services: []objective.Service{{Name: v.Name,
				OfferedPerSec: math.Max(v.OfferedPerSec, 1), CarriedPerSec: carried}}})
		}
		worth[k] = (reward(1) - reward(0)) / math.Max(sec, 1e-9)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(worth[b], worth[a]) })
	return order
}

// draining is the decision for it.
func (p *Policy) draining(w *World, target, now Setting, unused []control.Unused) control.Decision {
	d := control.Decision{Unused: unused, Weights: weights.Set{}}
	waiting := 0.0
	for j := range w.Servers {
		for k := range w.Services {
			waiting += p.quietOf(w.Servers[j].Name, w.Services[k].Name).held
		}
	}
	d.Reason = fmt.Sprintf("%s: about %.0f requests wait: they are served before others are let in",
		p.cfg.Objective.Kind(), waiting)
	if target.Equal(now) {
		d.Reason = "hold: the setting that drains the queues is in force"
	}
	return d
}
