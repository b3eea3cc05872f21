package pursuit

import (
	"fmt"
	"math"

	"trimtab/tuner"
	"trimtab/weights"
)

// spread are the standard deviations by which the loads of the worlds differ from what is believed: three of the same mean and variance.
var spread = [believedWorlds]float64{0, 1.2247, -1.2247}

// worlds are what is believed of a pool: a few worlds, each as likely, that differ in the load and in the numbers of slots as far as these
// are not known, the first with the load that is believed; or why none can be told.
func (p *Policy) worlds(pool *tuner.PoolBelief) (out []World, why string) {
	behind := backlog(pool, func(sv *tuner.ServerBelief) float64 {
		if l := p.cfg.Scaling[sv.Address]; l.On() {
			return float64(p.levels.Capacity[sv.Address] * max(l.SlotsPerUnit, 1))
		}
		return sv.MeanSlots()
	})
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
		for k, g := range pool.Groups {
			a := p.offered[g.Name]
			v := Service{Name: g.Name, Method: g.Method, Arrival: a.kind(), OfferedPerSec: (a.perSec() + behind[k]) * math.Exp(spread[i]*a.uncertain()), Admission: p.cfg.Admission[g.Name],
				FixedWeights: p.cfg.FixedWeights}
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

const (
	waitsShare = 1.5  // requests held per slot,
	waitsFew   = 3    // and beside them, that are no backlog
	drainSec   = 15.0 // in which a backlog is to be served,
	drainMost  = 0.5  // with at most so much beside what is offered
)

// backlog is what has to be served beside what is offered, by group, requests per second: what waits at the servers, within drainSec.
func backlog(pool *tuner.PoolBelief, slots func(*tuner.ServerBelief) float64) []float64 {
	out := make([]float64, len(pool.Groups))
	total := 0.0
	for k := range pool.Groups {
		total += pool.Groups[k].RatePerSec
	}
	if total <= 0 {
		return out
	}
	waiting := 0.0
	for j := range pool.Servers {
		sv := &pool.Servers[j]
		waiting += math.Max(0, sv.Inside-waitsShare*slots(sv)-waitsFew)
	}
	for k := range out {
		rate := pool.Groups[k].RatePerSec
		out[k] = math.Min(waiting/drainSec/total, drainMost) * rate
	}
	return out
}

// server is what is believed of a server in the i'th of n worlds: the numbers of slots are spread over the worlds by their probabilities,
// in another order for each server.
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
	return srv, ""
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
