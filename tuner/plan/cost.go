package plan

import (
	"math"

	"trimtab/objective"
	"trimtab/tuner/queueing"
)

// pooled is the irregularity of what a server is sent by a method that goes by the requests it holds: little, for it is sent
// requests when it has room.
var pooled = queueing.Flow{Arrivals: 0.15, Service: 0.15}

// FlowTo is how irregular the requests are that a server is sent: by round robin, those of every n'th of a Poisson stream, whose
// times between arrivals have a squared coefficient of variation of the server's share.
func FlowTo(m Method, share, scv float64) queueing.Flow {
	if m.LoadAware() {
		return pooled
	}
	return queueing.Flow{Arrivals: share, Service: scv}
}

// Cost is what shares cost: the logarithm of the tardiness of all requests, their mean response times by Params.MeanShare and what
// fails, in deadlines per second, averaged over the numbers of slots that servers may have; the mean of the logarithms over the demand,
// so that a load in which everything is late does not drown the present one.
func (p *Problem) Cost(x Shares) float64 { return p.gradient(p.newScratch(), x, nil) }

var present = []Demand{{Load: 1, Probability: 1}}

// gradient is Cost; with grad it sets the derivatives by the shares too.
func (p *Problem) gradient(s *scratch, x, grad Shares) float64 {
	for g := range grad {
		clear(grad[g])
	}
	demand := p.Demand
	if len(demand) == 0 {
		demand = present
	}
	total := 0.0
	for i := range demand {
		d := &demand[i]
		if d.Probability == 0 {
			continue
		}
		for g := range p.Groups {
			s.asked[g] = p.rate(d, g)
		}
		cost, by := 0.0, s.grad // derivatives, of the cost
		if grad == nil {
			by = nil
		}
		for g := range by {
			clear(by[g])
		}
		for j := range p.Beliefs {
			cost += p.serverCost(s, x, j, by)
		}
		if cost <= 0 {
			continue
		}
		total += d.Probability * math.Log(cost)
		for g := range grad {
			for i := range grad[g] {
				grad[g][i] += d.Probability / cost * by[g][i]
			}
		}
	}
	return total
}

// Capacity is how many times the present load the servers that do not fail serve at most, all together.
func (p *Problem) Capacity() float64 {
	work := 0.0
	for g := range p.Groups {
		grp := &p.Groups[g]
		capacity := 0.0
		for _, l := range grp.Links {
			if b := &p.Beliefs[l.Server]; !l.Off && len(b.Slots) > 0 && b.Fail[l.Class] <= p.Params.Failing {
				capacity += b.Capacity(l.Class)
			}
		}
		if capacity > 0 {
			work += grp.RatePerSec / capacity
		}
	}
	if work <= 0 {
		return math.Inf(1)
	}
	return 1 / work
}

// scratch holds the links of every server and room for what is worked out of one.
type scratch struct {
	links [][]place // by server
	asked []float64 // requests per second by group in the demand at hand
	rate  []float64
	grad  Shares
}

type place struct{ group, link int }

func (p *Problem) newScratch() *scratch {
	s := &scratch{links: make([][]place, len(p.Beliefs)), grad: p.NewShares(), asked: make([]float64, len(p.Groups))}
	for g := range p.Groups {
		for i, l := range p.Groups[g].Links {
			s.links[l.Server] = append(s.links[l.Server], place{g, i})
		}
	}
	return s
}

// serverCost is what one server costs per second at the rates of s.asked. With grad it adds the derivatives by the
// shares to grad.
func (p *Problem) serverCost(s *scratch, x Shares, j int, grad Shares) float64 {
	b := &p.Beliefs[j]
	places := s.links[j]
	s.rate = s.rate[:0]
	rate, spread := 0.0, 0.0
	var method Method
	for _, at := range places {
		g := &p.Groups[at.group]
		r := s.asked[at.group] * x[at.group][at.link]
		s.rate = append(s.rate, r)
		rate += r
		spread += r * x[at.group][at.link]
		method = g.Method
	}
	total := 0.0
	for n, at := range places {
		g := &p.Groups[at.group]
		fails := b.Fail[g.Links[at.link].Class] * p.ErrorTardiness
		total += s.rate[n] * fails
		if grad != nil {
			grad[at.group][at.link] += s.asked[at.group] * fails
		}
	}
	for i := range b.Slots {
		h := &b.Slots[i]
		// The spread of service times is that of all classes in their usual mix: parting them to make it less is not what weights are for.
		work, all, first, square := 0.0, 0.0, 0.0, 0.0
		for n, at := range places {
			g := &p.Groups[at.group]
			v := h.ServiceSec[g.Links[at.link].Class]
			work += s.rate[n] * v
			all += g.RatePerSec
			first += g.RatePerSec * v
			square += g.RatePerSec * v * v * (1 + g.SCV)
		}
		mean, flow := 0.0, pooled
		if rate > 0 {
			mean = work / rate
			if !method.LoadAware() {
				flow = queueing.Flow{Arrivals: math.Min(spread/rate, 1), Service: math.Max(square*all/first/first-1, 0)}
			}
		} else {
			for _, v := range h.ServiceSec {
				mean += v / float64(len(h.ServiceSec))
			}
		}
		rho := work / h.Slots
		wait, slope := 0.0, 0.0
		if grad == nil {
			wait = queueing.PlannedWait(rho, h.Slots, mean, flow, p.Params.HorizonSec)
		} else {
			wait, slope = queueing.Planned(rho, h.Slots, mean, flow, p.Params.HorizonSec)
		}
		if b.Inside > h.Slots { // nothing waits before the slots are full
			usual := mean // of what waits there: the usual mix
			if all > 0 {
				usual = first / all
			}
			backlog := math.Max(0, b.Inside-h.Slots*(1+queueing.Wait(nearlyFull, h.Slots, flow)))
			more, steep := queueing.Draining(backlog*usual/h.Slots, rho, p.Params.HorizonSec)
			wait, slope = wait+more, slope+steep
		}
		steeper := 0.0
		for n, at := range places {
			g := &p.Groups[at.group]
			v := h.ServiceSec[g.Links[at.link].Class]
			c := p.response(g, v, wait, rho)
			total += h.Probability * s.rate[n] * c
			if grad == nil {
				continue
			}
			grad[at.group][at.link] += h.Probability * s.asked[at.group] * c
			if s.rate[n] > 0 {
				bump := 1e-3*wait + 1e-6*v
				steeper += s.rate[n] * (p.response(g, v, wait+bump, rho) - c) / bump
			}
		}
		if grad != nil {
			for _, at := range places {
				g := &p.Groups[at.group]
				v := h.ServiceSec[g.Links[at.link].Class]
				grad[at.group][at.link] += h.Probability * steeper * slope * s.asked[at.group] * v / h.Slots
			}
		}
	}
	return total
}

// nearlyFull is the utilisation up to which requests that wait are no backlog.
const nearlyFull = 0.9

// response is the cost of one request, in deadlines, that is served for so long on average and waits for so long.
func (p *Problem) response(g *Group, service, wait, rho float64) float64 {
	d := g.DeadlineSec
	if !(d > 0) {
		d = 3 * service
	}
	mean := service + wait
	// A request waits with a probability of about ρ, and then exponentially long.
	spread := 2/math.Max(math.Min(rho, 1), 0.05) - 1
	variance := g.SCV*service*service + wait*wait*spread
	if p.Table != nil {
		return p.Params.MeanShare*mean/d + p.Table.At(mean, variance, d)
	}
	return p.Params.MeanShare*mean/d + objective.Tardiness(mean, variance, d)
}
