package plan

import (
	"math"

	"trimtab/tuner/estimate"
	"trimtab/tuner/queueing"
)

// evaluator works out what shares cost in one problem. What does not depend on the shares is worked out once.
type evaluator struct {
	p       *Problem
	demand  []Demand
	servers []station
	asked   []float64 // requests per second by group, in the demand at hand
	grad    Shares    // derivatives of the cost in the demand at hand
	at      struct {  // of the server at hand, by place
		share, asked, rate, by []float64
	}
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
	perDeadline        float64 // 1/s; 0: the deadline is three services
	scv                float64 // squared coefficient of variation of service times
}

// choice is a number of slots that a server may have.
type choice struct {
	*estimate.Hypothesis
	usual float64 // s: mean service time of all classes in their usual mix
	scv   float64 // squared coefficient of variation of it
	idle  float64 // s: mean service time of a server that is sent nothing
}

func (p *Problem) evaluator() *evaluator {
	e := &evaluator{p: p, demand: p.demand(), servers: make([]station, len(p.Beliefs)),
		asked: make([]float64, len(p.Groups))}
	for j := range e.servers {
		e.servers[j].belief = &p.Beliefs[j]
	}
	for g := range p.Groups {
		grp := &p.Groups[g]
		for i, l := range grp.Links {
			s := &e.servers[l.Server]
			at := place{group: g, link: i, class: l.Class, fails: s.belief.Fail[l.Class] * p.ErrorTardiness, scv: grp.SCV}
			if grp.DeadlineSec > 0 {
				at.perDeadline = 1 / grp.DeadlineSec
			}
			s.places = append(s.places, at)
			s.aware = grp.Method.LoadAware()
		}
	}
	most := 0
	for j := range e.servers {
		s := &e.servers[j]
		most = max(most, len(s.places))
		s.choices = make([]choice, 0, len(s.belief.Slots))
		for h := range s.belief.Slots {
			s.choices = p.choices(s.choices, s, &s.belief.Slots[h])
		}
	}
	for _, at := range []*[]float64{&e.at.share, &e.at.asked, &e.at.rate, &e.at.by} {
		*at = make([]float64, most)
	}
	return e
}

// choices adds what a number of slots means to points: once, or, while the server's speed is in doubt, as it was
// believed to be and as it would be after a change. Methods that go by what servers hold see to a change themselves.
func (p *Problem) choices(points []choice, s *station, h *estimate.Hypothesis) []choice {
	if s.aware || !(s.belief.Doubt > 0 && h.Slower > 1) {
		return append(points, p.choice(s, h))
	}
	as, changed := *h, *h
	as.Probability *= 1 - s.belief.Doubt
	changed.Probability *= s.belief.Doubt
	changed.ServiceSec = make([]float64, len(h.ServiceSec))
	for k, v := range h.ServiceSec {
		changed.ServiceSec[k] = v * h.Slower
	}
	return append(points, p.choice(s, &as), p.choice(s, &changed))
}

// choice works out what a number of slots means for the classes of a server. The spread of service times is that of
// all classes in their usual mix: parting them to make it less is not what weights are for.
func (p *Problem) choice(s *station, h *estimate.Hypothesis) choice {
	out := choice{Hypothesis: h}
	all, first, square := 0.0, 0.0, 0.0
	for _, at := range s.places {
		g, v := &p.Groups[at.group], h.ServiceSec[at.class]
		all += g.RatePerSec
		first += g.RatePerSec * v
		square += g.RatePerSec * v * v * (1 + g.SCV)
		out.scv = max(out.scv, g.SCV)
	}
	for _, v := range h.ServiceSec {
		out.idle += v / float64(len(h.ServiceSec))
	}
	out.usual = out.idle
	if first > 0 {
		out.usual, out.scv = first/all, max(square*all/first/first-1, 0)
	}
	return out
}

// work is how many responses are worked out for one cost.
func (e *evaluator) work() float64 {
	n := 0
	for j := range e.servers {
		n += len(e.servers[j].places) * len(e.servers[j].choices)
	}
	return float64(n * len(e.demand))
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

// server is what one server costs per second at the rates of e.asked. With grad it sets the derivatives by the
// shares of it.
func (e *evaluator) server(s *station, x, grad Shares) float64 {
	n := len(s.places)
	shares, asked, rates, by := e.at.share[:n], e.at.asked[:n], e.at.rate[:n], e.at.by[:n]
	rate, spread, total := 0.0, 0.0, 0.0
	for i := range s.places {
		at := &s.places[i]
		shares[i], asked[i] = x[at.group][at.link], e.asked[at.group]
		rates[i], by[i] = asked[i]*shares[i], at.fails
		rate += rates[i]
		spread += rates[i] * shares[i]
		total += rates[i] * at.fails
	}
	for h := range s.choices {
		c := &s.choices[h]
		work := 0.0
		for i, r := range rates {
			work += r * c.ServiceSec[s.places[i].class]
		}
		mean, flow := c.idle, pooled
		if rate > 0 {
			mean = work / rate
			if !s.aware {
				flow = queueing.Flow{Arrivals: min(spread/rate, 1), Service: c.scv}
			}
		}
		rho := work / c.Slots
		wait, slope := queueing.Planned(rho, c.Slots, mean, flow, e.p.Params.HorizonSec)
		// In proportion to mean, and to what the flow makes of it.
		own := wait - max(0, rho-queueing.NearFull)*e.p.Params.HorizonSec/2
		if s.belief.Inside > c.Slots { // nothing waits before the slots are full
			backlog := max(0, s.belief.Inside-c.Slots*(1+queueing.Wait(nearlyFull, c.Slots, flow)))
			more, steep := queueing.Draining(backlog*c.usual/c.Slots, rho, e.p.Params.HorizonSec)
			wait, slope = wait+more, slope+steep
		}
		// A request waits with a probability of about ρ, and then exponentially long.
		waits := max(min(rho, 1), leastWaits)
		square, loosens := wait*wait*(2/waits-1), 0.0 // what waiting adds to the variance, and its derivative by rho
		if rho > leastWaits && rho < 1 {
			loosens = -2 * wait * wait / (waits * waits)
		}
		byWait, bySquare := 0.0, 0.0
		for i, r := range rates {
			at := &s.places[i]
			cost, longer, looser := e.response(at, c.ServiceSec[at.class], wait, square)
			total += c.Probability * r * cost
			by[i] += c.Probability * cost
			byWait += r * longer
			bySquare += r * looser
		}
		if grad == nil {
			continue
		}
		if wait > 0 {
			byWait += bySquare * 2 * square / wait
		}
		byWait *= c.Probability
		byRho := (byWait*slope + c.Probability*bySquare*loosens) / c.Slots
		byMean, byFlow := 0.0, 0.0
		if rate > 0 {
			byMean = byWait * own / mean / rate
			if !s.aware && flow.Arrivals < 1 {
				byFlow = byWait * own * flow.ByArrivals(rho) / rate
			}
		}
		for i := range by {
			v := c.ServiceSec[s.places[i].class]
			by[i] += byRho*v + byMean*(v-mean) + byFlow*(2*shares[i]-flow.Arrivals)
		}
	}
	if grad != nil {
		for i := range s.places {
			at := &s.places[i]
			grad[at.group][at.link] = asked[i] * by[i]
		}
	}
	return total
}

// nearlyFull is the utilisation up to which requests that wait are no backlog.
const nearlyFull = 0.9

// response is the cost of one request, in deadlines, that is served for so long on average and waits for so long, the
// variance of which is square, and the derivatives with respect to the wait and to square.
func (e *evaluator) response(at *place, service, wait, square float64) (cost, byWait, bySquare float64) {
	perDeadline := at.perDeadline
	if perDeadline == 0 {
		perDeadline = 1 / (3 * service)
	}
	mean := service + wait
	perMean := 1 / mean
	sd := math.Sqrt(at.scv*service*service + square)
	ratio, cv := mean*perDeadline, sd*perMean
	late, byRatio, byCV := e.p.Table.Slopes(ratio, cv)
	share := e.p.Params.MeanShare
	if sd > 0 {
		bySquare = byCV * perMean / (2 * sd)
	}
	return share*ratio + late, (share+byRatio)*perDeadline - byCV*cv*perMean, bySquare
}

// leastWaits is the probability of waiting below which the spread of waits grows no more.
const leastWaits = 0.05
