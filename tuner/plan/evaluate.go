package plan

import (
	"math"

	"trimtab/objective"
	"trimtab/tuner/estimate"
	"trimtab/tuner/queueing"
)

// evaluator works out what shares cost in one problem. What does not depend on the shares is worked out once.
type evaluator struct {
	p       *Problem
	demand  []Demand // no two alike
	servers []station
	asked   []float64 // requests per second by group, in the demand at hand
	rate    []float64 // of the server at hand, by place
	grad    Shares    // derivatives of the cost in the demand at hand
}

// station is a server as the groups use it.
type station struct {
	belief  *estimate.Belief
	places  []place
	choices []choice
	aware   bool // it is sent requests when it has room
}

// place is one use of a server.
type place struct {
	group, link, class int
	fails              float64 // cost of what fails, per request
}

// choice is a number of slots that a server may have.
type choice struct {
	*estimate.Hypothesis
	usual float64 // s: mean service time of all classes in their usual mix
	scv   float64 // squared coefficient of variation of it
	idle  float64 // s: mean service time of a server that is sent nothing
}

var present = []Demand{{Load: 1, Probability: 1}}

// evaluator is one for the problem with the beliefs given in place of its own.
func (p *Problem) evaluator(beliefs []estimate.Belief) *evaluator {
	e := &evaluator{p: p, demand: p.distinct(), servers: make([]station, len(beliefs)), asked: make([]float64, len(p.Groups))}
	uses, most, choices := make([]int, len(beliefs)), 0, 0
	for g := range p.Groups {
		for _, l := range p.Groups[g].Links {
			uses[l.Server]++
			most = max(most, uses[l.Server])
		}
	}
	e.rate = make([]float64, 0, most)
	all := 0
	for j := range beliefs {
		all += uses[j]
		choices += len(beliefs[j].Slots)
	}
	places, room := make([]place, all), make([]choice, 0, choices)
	for j := range e.servers {
		e.servers[j].belief = &beliefs[j]
		e.servers[j].places, places = places[:0:uses[j]], places[uses[j]:]
	}
	for g := range p.Groups {
		grp := &p.Groups[g]
		for i, l := range grp.Links {
			s := &e.servers[l.Server]
			s.places = append(s.places, place{group: g, link: i, class: l.Class, fails: s.belief.Fail[l.Class] * p.ErrorTardiness})
			s.aware = grp.Method.LoadAware()
		}
	}
	for j := range e.servers {
		s := &e.servers[j]
		from := len(room)
		for h := range s.belief.Slots {
			room = append(room, p.choice(s, &s.belief.Slots[h]))
		}
		s.choices = room[from:len(room):len(room)]
	}
	return e
}

// choice works out what a number of slots means for the classes of a server. The spread of service times is that of all classes in their
// usual mix: parting them to make it less is not what weights are for.
func (p *Problem) choice(s *station, h *estimate.Hypothesis) choice {
	out := choice{Hypothesis: h}
	all, first, square := 0.0, 0.0, 0.0
	for _, at := range s.places {
		g, v := &p.Groups[at.group], h.ServiceSec[at.class]
		all += g.RatePerSec
		first += g.RatePerSec * v
		square += g.RatePerSec * v * v * (1 + g.SCV)
		out.scv = math.Max(out.scv, g.SCV)
	}
	for _, v := range h.ServiceSec {
		out.idle += v / float64(len(h.ServiceSec))
	}
	out.usual = out.idle
	if first > 0 {
		out.usual, out.scv = first/all, math.Max(square*all/first/first-1, 0)
	}
	return out
}

// distinct is the demand, loads that are the same added up.
func (p *Problem) distinct() []Demand {
	if len(p.Demand) == 0 {
		return present
	}
	out := make([]Demand, 0, len(p.Demand))
next:
	for _, d := range p.Demand {
		if d.Probability == 0 {
			continue
		}
		for i := range out {
			if d.RatePerSec == nil && out[i].RatePerSec == nil && d.Load == out[i].Load {
				out[i].Probability += d.Probability
				continue next
			}
		}
		out = append(out, d)
	}
	return out
}

// cost is Problem.Cost; with grad it sets the derivatives by the shares too.
func (e *evaluator) cost(x, grad Shares) float64 {
	for g := range grad {
		clear(grad[g])
	}
	if grad != nil && e.grad == nil {
		e.grad = e.p.NewShares()
	}
	total := 0.0
	for i := range e.demand {
		d := &e.demand[i]
		for g := range e.asked {
			e.asked[g] = e.p.rate(d, g)
		}
		cost, by := 0.0, e.grad
		if grad == nil {
			by = nil
		}
		for g := range by {
			clear(by[g])
		}
		for j := range e.servers {
			cost += e.server(&e.servers[j], x, by)
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

// server is what one server costs per second at the rates of e.asked. With grad it adds the derivatives by the shares to it.
func (e *evaluator) server(s *station, x, grad Shares) float64 {
	e.rate = e.rate[:0]
	rate, spread, total := 0.0, 0.0, 0.0
	for n := range s.places {
		at := &s.places[n]
		share, asked := x[at.group][at.link], e.asked[at.group]
		r := asked * share
		e.rate = append(e.rate, r)
		rate += r
		spread += r * share
		total += r * at.fails
		if grad != nil {
			grad[at.group][at.link] += asked * at.fails
		}
	}
	for h := range s.choices {
		c := &s.choices[h]
		work := 0.0
		for n := range s.places {
			work += e.rate[n] * c.ServiceSec[s.places[n].class]
		}
		mean, flow := c.idle, pooled
		if rate > 0 {
			mean = work / rate
			if !s.aware {
				flow = queueing.Flow{Arrivals: math.Min(spread/rate, 1), Service: c.scv}
			}
		}
		rho := work / c.Slots
		wait, slope := queueing.Planned(rho, c.Slots, mean, flow, e.p.Params.HorizonSec)
		own := wait - math.Max(0, rho-queueing.NearFull)*e.p.Params.HorizonSec/2 // in proportion to mean, and to what the flow makes of it
		if s.belief.Inside > c.Slots {                                           // nothing waits before the slots are full
			backlog := math.Max(0, s.belief.Inside-c.Slots*(1+queueing.Wait(nearlyFull, c.Slots, flow)))
			more, steep := queueing.Draining(backlog*c.usual/c.Slots, rho, e.p.Params.HorizonSec)
			wait, slope = wait+more, slope+steep
		}
		byWait, byRho := 0.0, 0.0
		for n := range s.places {
			at := &s.places[n]
			cost, longer, looser := e.response(&e.p.Groups[at.group], c.ServiceSec[at.class], wait, rho)
			r := c.Probability * e.rate[n]
			total += r * cost
			if grad != nil {
				grad[at.group][at.link] += c.Probability * e.asked[at.group] * cost
				byWait += r * longer
				byRho += r * looser
			}
		}
		if grad == nil {
			continue
		}
		byRho += byWait * slope
		byMean, byFlow := 0.0, 0.0
		if rate > 0 {
			byMean = byWait * own / mean / rate
			if !s.aware && flow.Arrivals < 1 {
				byFlow = byWait * own * flow.ByArrivals(rho) / rate
			}
		}
		for n := range s.places {
			at := &s.places[n]
			v := c.ServiceSec[at.class]
			grad[at.group][at.link] += e.asked[at.group] *
				(byRho*v/c.Slots + byMean*(v-mean) + byFlow*(2*x[at.group][at.link]-flow.Arrivals))
		}
	}
	return total
}

// nearlyFull is the utilisation up to which requests that wait are no backlog.
const nearlyFull = 0.9

// response is the cost of one request, in deadlines, that is served for so long on average and waits for so long, and the derivatives with
// respect to the wait and, the wait being given, to rho.
func (e *evaluator) response(g *Group, service, wait, rho float64) (cost, byWait, byRho float64) {
	perDeadline := 1 / g.DeadlineSec
	if !(g.DeadlineSec > 0) {
		perDeadline = 1 / (3 * service)
	}
	mean := service + wait
	// A request waits with a probability of about ρ, and then exponentially long.
	waits := math.Max(math.Min(rho, 1), leastWaits)
	spread := 2/waits - 1
	sd := math.Sqrt(g.SCV*service*service + wait*wait*spread)
	ratio, cv := mean*perDeadline, sd/mean
	late, byRatio, byCV := e.tardiness(ratio, cv)
	share := e.p.Params.MeanShare
	if sd > 0 {
		byWait = byCV * (wait*spread/sd - cv) / mean
		if rho > leastWaits && rho < 1 {
			byRho = -byCV * wait * wait / (waits * waits * sd * mean)
		}
	}
	return share*ratio + late, byWait + (share+byRatio)*perDeadline, byRho
}

// leastWaits is the probability of waiting below which the spread of waits grows no more.
const leastWaits = 0.05

// tardiness is that of a mean of so many deadlines and a coefficient of variation, with its derivatives.
func (e *evaluator) tardiness(ratio, cv float64) (late, byRatio, byCV float64) {
	if e.p.Table != nil {
		return e.p.Table.Slopes(ratio, cv)
	}
	const step = 1e-5
	at := func(ratio, cv float64) float64 { return objective.Tardiness(ratio, cv*cv*ratio*ratio, 1) }
	late = at(ratio, cv)
	return late, (at(ratio*(1+step), cv) - late) / (step * ratio), (at(ratio, cv+step) - late) / step
}
