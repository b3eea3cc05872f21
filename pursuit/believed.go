package pursuit

import (
	"fmt"
	"math"
	"slices"

	"trimtab/tuner"
	"trimtab/weights"
)

// spread are the standard deviations by which the loads of the worlds differ from what is believed: three of the same
// mean and variance.
var spread = [believedWorlds]float64{0, 1.2247, -1.2247}

// worlds are what is believed of a pool: a few worlds, each as likely, that differ in the load and in the numbers of
// slots as far as these are not known, the first with the load that is believed; or why none can be told.
func (p *Policy) worlds(pool *tuner.PoolBelief) (out []World, why string) {
	for _, sv := range pool.Servers {
		if len(sv.Slots) == 0 || !sv.Known {
			return nil, fmt.Sprintf("nothing is known of server %s yet", sv.Address)
		}
	}
	for i := range believedWorlds {
		w := World{}
		for j := range pool.Servers {
			srv, why := p.server(pool, j, i, believedWorlds)
			if why != "" {
				return nil, why
			}
			w.Servers = append(w.Servers, srv)
		}
		for _, g := range pool.Groups {
			a := p.offered[g.Name]
			v := Service{Name: g.Name, Method: g.Method, Arrival: a.kind(), OfferedPerSec: a.perSec() *
				math.Exp(spread[i]*a.uncertain()), Admission: p.cfg.Admission[g.Name],
				FixedWeights: p.cfg.FixedWeights || p.cfg.Fixed[g.Name] != ""}
			live := 0
			for _, l := range g.Links {
				v.Links = append(v.Links, Link{Server: l.Server, Off: l.Off})
				if !l.Off {
					live++
				}
			}
			if live == 0 {
				return nil, fmt.Sprintf("no server of upstream %s takes requests", g.Name)
			}
			w.Services = append(w.Services, v)
		}
		out = append(out, w)
	}
	return out, ""
}

// behind adds to the load of worlds what has to be served beside it.
func (p *Policy) behind(worlds []World, pool *tuner.PoolBelief) {
	backlog := p.backlog(pool)
	for k := range backlog {
		offered := p.offered[pool.Groups[k].Name].perSec()
		for i := range worlds {
			if offered > 0 {
				worlds[i].Services[k].OfferedPerSec *= 1 + backlog[k]/offered
			}
		}
	}
}

const (
	waitsShare = 1.5 // requests held per slot,
	waitsFew   = 3   // and beside them, that are no backlog
	drainSec   = 3.0 // in which a backlog is to be served by refusing others,
	drainMost  = 3.0 // with at most so much beside what is offered,
	drainUsed  = 0.9 // of what servers finish while they are full, which is what all that is let in has to fit into,
	growSec    = 1.5 // and the same where capacity is added for it: a unit for an interval costs less than a bound
	growMost   = 1.0
	growUsed   = 0.85 // of the most capacity
)

// backlog is what has to be served beside what is offered, by group, requests per second: what waits at the servers,
// within drainSec. The requests of a group that are at its servers are those that arrived while the last one waited
// (Little's law over one sojourn).
func (p *Policy) backlog(pool *tuner.PoolBelief) []float64 {
	out := make([]float64, len(pool.Groups))
	slots, inside, shown, scaled := 0.0, 0.0, 0.0, false
	for j := range pool.Servers {
		sv := &pool.Servers[j]
		shown += sv.Inside
		if l := p.cfg.Scaling[sv.Address]; l.On() {
			slots += float64(p.levels.Capacity[sv.Address] * max(l.SlotsPerUnit, 1))
			scaled = true
		} else {
			slots += math.Min(sv.MeanSlots(), math.Max(1, p.busy(pool, sv.Address)))
		}
	}
	held := make([]float64, len(out))
	for k := range pool.Groups {
		name := pool.Groups[k].Name
		done, end := 0.0, 0.0
		for j := range pool.Servers {
			q := p.quietOf(pool.Servers[j].Address, name)
			held[k] += q.held
			done, end = done+q.done, end+q.done*q.end
		}
		if pool.Groups[k].Method.LoadAware() {
			held[k] = p.offered[name].perSec() * (1 - p.levels.Blocked[name]) * end / math.Max(done, 1e-9)
		}
		inside += held[k]
	}
	seconds, most, waiting := drainSec, drainMost, inside-waitsShare*slots-waitsFew
	if scaled {
		seconds, most, waiting = growSec, growMost, math.Max(inside, shown)-slots
	}
	if waiting <= 0 || inside <= 0 {
		return out
	}
	more := waiting / seconds
	if scaled {
		more = math.Min(more, p.growable(pool))
	} else {
		more = p.unrefusable(pool, more)
	}
	for k := range out {
		out[k] = math.Min(more*held[k]/inside, most*p.offered[pool.Groups[k].Name].perSec())
	}
	return out
}

// growable is the load that the most capacity that is allowed has room for beside what is offered, per s: for more than
// that none would be bought, since it would hold no bound.
func (p *Policy) growable(pool *tuner.PoolBelief) float64 {
	room, work, done, offered := 0.0, 0.0, 0.0, 0.0
	for j := range pool.Servers {
		name := pool.Servers[j].Address
		l := p.cfg.Scaling[name]
		room += growUsed * float64(l.Max*max(l.SlotsPerUnit, 1))
		for _, g := range pool.Groups {
			q := p.quietOf(name, g.Name)
			work, done = work+q.done*q.base, done+q.done
		}
	}
	for _, g := range pool.Groups {
		offered += p.offered[g.Name].perSec()
	}
	if work <= 0 {
		return 0
	}
	return math.Max(0, room*done/work-offered)
}

// busy is how many requests a server is at while it is full: what it finishes, at the time that a request takes without
// waiting.
func (p *Policy) busy(pool *tuner.PoolBelief, server string) float64 {
	sum := 0.0
	for _, g := range pool.Groups {
		q := p.quietOf(server, g.Name)
		if q.done > 0 && q.base <= 0 {
			return math.Inf(1)
		}
		sum += q.done * q.base
	}
	return sum
}

// unrefusable is the load that stands for so much of a backlog per second where requests may be refused. What waits is
// not refused: with λ offered, C finished by full servers and w of the backlog to be served per second, a share b has
// to be refused so that (1 − b)λ + w fits into drainUsed·C. A load of drainUsed·C·λ/(drainUsed·C − w) wants the same
// share.
func (p *Policy) unrefusable(pool *tuner.PoolBelief, backlog float64) float64 {
	offered, done, refusable := 0.0, 0.0, false
	for _, g := range pool.Groups {
		offered += p.offered[g.Name].perSec()
		refusable = refusable || p.cfg.Admission[g.Name].Most > 0
		for j := range pool.Servers {
			done += p.quietOf(pool.Servers[j].Address, g.Name).done
		}
	}
	if fits := drainUsed * done; refusable && fits > 0 {
		if backlog >= fits {
			return math.Inf(1) // everybody, as far as that may be
		}
		return math.Max(backlog, fits*offered/(fits-backlog)-offered)
	}
	return backlog
}

// server is what is believed of a server in the i'th of n worlds: the numbers of slots are spread over the worlds by
// their probabilities, in another order for each server.
func (p *Policy) server(pool *tuner.PoolBelief, j, i, n int) (srv Server, why string) {
	sv := &pool.Servers[j]
	srv = Server{Name: sv.Address, ServiceSec: make([]float64, len(pool.Groups)), Scaling: p.cfg.Scaling[sv.Address]}
	at := (float64((i+j)%n) + 0.5) / float64(n)
	h := &sv.Slots[len(sv.Slots)-1]
	for x := range sv.Slots {
		if at -= sv.Slots[x].Probability; at <= 0 {
			h = &sv.Slots[x]
			break
		}
	}
	srv.Slots = int(h.Slots)
	work := 0.0
	for k, g := range pool.Groups {
		for _, l := range g.Links {
			if l.Server != j {
				continue
			}
			srv.ServiceSec[k] = h.ServiceSec[l.Class]
			srv.SCV += g.RatePerSec * g.SCV
			work += g.RatePerSec
			if !srv.Scaling.On() {
				continue
			}
			sec, ok := p.servers[sv.Address].service(l.Class)
			if !ok {
				return srv, fmt.Sprintf("nothing is known of server %s yet", sv.Address)
			}
			srv.ServiceSec[k] = sec
		}
	}
	if srv.Scaling.On() {
		srv.Slots = p.levels.Capacity[sv.Address] * max(srv.Scaling.SlotsPerUnit, 1)
	}
	srv.SCV /= math.Max(work, 1e-9)
	p.fullOne(&srv, pool)
	return srv, ""
}

// fullOne is what a server is taken for that was full of late, where the tuner believes in more or fewer slots than its
// waits leave possible: one that takes as long as it did when nothing waited. Whether it has lost slots or become
// slower cannot be told before its queue is gone; how much it finishes is the same, and that is what admission has to
// know at once.
func (p *Policy) fullOne(srv *Server, pool *tuner.PoolBelief) {
	is := p.shown[srv.Name]
	if !is.full || srv.Scaling.On() {
		return
	}
	slots := int(math.Min(float64(srv.Slots), is.high))
	if !is.queued { // of one that was full since it is known nobody knows what a request takes without waiting
		slots = max(slots, int(is.low))
	}
	// Light use never shows what else is there: while some are refused, one slot more than is known is tried.
	if !is.queued && math.IsInf(is.high, 1) && slices.ContainsFunc(pool.Groups, func(g tuner.GroupBelief) bool {
		return p.levels.Blocked[g.Name] > 0
	}) {
		slots = max(slots, int(is.low)+1)
	}
	if slots == srv.Slots {
		return
	}
	for k, sec := range srv.ServiceSec {
		if base := p.quietOf(srv.Name, pool.Groups[k].Name).base; sec > 0 && base > 0 {
			srv.ServiceSec[k] = base * is.fit
		}
	}
	srv.Slots = slots
}

func (p *Policy) quietOf(server, upstream string) *quiet {
	if p.quiet[server] == nil {
		p.quiet[server] = map[string]*quiet{}
	}
	if p.quiet[server][upstream] == nil {
		p.quiet[server][upstream] = &quiet{}
	}
	return p.quiet[server][upstream]
}

// setting is what is in force in a world.
func (p *Policy) setting(w *World, inForce weights.Set) Setting {
	s := w.Start()
	for k := range w.Services {
		v := &w.Services[k]
		for i, l := range v.Links {
			s.Weights[k][i] = inForce[v.Name][w.Servers[l.Server].Name].Weight.Int()
		}
		s.Blocked[k] = p.levels.Blocked[v.Name]
	}
	for j := range w.Servers {
		s.Units[j] = 0
		if w.Servers[j].Scaling.On() {
			s.Units[j] = p.levels.Capacity[w.Servers[j].Name]
		}
	}
	return s
}
