package tuner

import (
	"math"

	"trimtab/objective"
)

// planner finds shares for all groups at once that minimise the predicted cost per second
//
//	Σ_g Σ_i λ_g x_gi · (f_g(L_gi) + e_gi·E) + τ · Σ_g λ_g f̄_g · KL(x_g ‖ π_g)
//
// over the simplexes, by exponentiated gradient. f_g is the expected tardiness of a response plus a small share of its
// mean, both in deadlines; e_gi the error share and E the tardiness of an error; π_g the work-conserving shares
// (capacity per request of the class), towards which the plan is pulled: with them no change of the mix of classes
// overloads a single server. With crowding the pull is τ·Σ_g λ_g f̄_g · Σ_i π_gi ((x_gi/π_gi)⁴ − 1)/4 instead: KL has no end of
// cost for leaving a server and little for crowding one, but it is the crowded server that is overloaded when the load turns to the
// class. The load is taken `headroom` times the present one, and waiting is averaged over the
// likely numbers of slots, so that what is not known for sure is not loaded to the limit.
type planner struct {
	waits          *waits
	tardy          *objective.Table
	headroom       float64
	meanShare      float64 // share of the mean response time in the cost
	errorTardiness float64
	crowding       bool    // the pull is against crowding a server, not against leaving one
	neutral        bool    // the work-conserving shares are the same for all classes
	reach          float64 // how many times the utilisation seen so far a plan may go to
	horizon        float64 // s over which a backlog is to be worked off

	stations []*station
	groups   []*group
	x, best  [][]float64 // by group, by link
	grad     [][]float64
	bestGrad [][]float64
	prior    [][]float64
	resting  []float64 // by group: restingCost, for the plan under way
	rates    []float64 // by link of a station: requests per second
	slopes   []float64 // and the gradient
}

// setUp sizes the scratch space for the groups and stations of a topology.
func (p *planner) setUp(groups []*group, stations []*station) {
	p.groups, p.stations = groups, stations
	p.x, p.best, p.grad, p.bestGrad, p.prior = matrix(groups), matrix(groups), matrix(groups), matrix(groups), matrix(groups)
	p.resting = make([]float64, len(groups))
}

func matrix(groups []*group) [][]float64 {
	m := make([][]float64, len(groups))
	for g := range m {
		m[g] = make([]float64, len(groups[g].links))
	}
	return m
}

// A plan takes up to planSteps steps, fewer in large pools: there a step of a hundred shares changes little for each.
const (
	planSteps = 60
	planLeast = 5
	planWork  = 12000 // steps times links
)

func (p *planner) steps() int {
	links := 0
	for _, x := range p.x {
		links += len(x)
	}
	return min(planSteps, max(planLeast, planWork/max(links, 1)))
}

// solve returns shares by group and link for a pull τ; the result is valid until the next call.
func (p *planner) solve(tau float64) [][]float64 {
	p.priors()
	for g, grp := range p.groups {
		copy(p.x[g], p.prior[g])
		p.resting[g] = grp.restingCost(p)
	}
	cost, rate := p.cost(p.x, p.headroom, tau, true), 0.5
	best := cost
	copyMatrix(p.best, p.x)
	copyMatrix(p.bestGrad, p.grad)
	for left := p.steps() - 1; left >= 0; left-- {
		p.descend(rate)
		next := p.cost(p.x, p.headroom, tau, left > 0)
		if next < best {
			best = next
			copyMatrix(p.best, p.x)
			copyMatrix(p.bestGrad, p.grad)
			rate = math.Min(rate*1.1, 1)
			continue
		}
		rate *= 0.6
		if rate < 0.01 {
			break
		}
		copyMatrix(p.x, p.best)
		copyMatrix(p.grad, p.bestGrad)
	}
	return p.best
}

func copyMatrix(dst, src [][]float64) {
	for g := range dst {
		copy(dst[g], src[g])
	}
}

// priors sets the work-conserving shares: capacity over service time, times the success ratio to the power that makes
// a failing server unattractive.
func (p *planner) priors() {
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			v := 0.0
			if !l.off() {
				v = l.station.capacity(l.pos, p.reach, p.neutral) * l.errorFactor()
			}
			p.prior[g][i] = v
			sum += v
		}
		for i := range p.prior[g] {
			if sum > 0 {
				p.prior[g][i] = math.Max(p.prior[g][i]/sum, 0)
			} else {
				p.prior[g][i] = 1 / float64(len(p.prior[g]))
			}
		}
	}
}

// errorFactor is what remains of a server's natural share at its error share.
func (l *link) errorFactor() float64 {
	e := math.Max(0, l.errors-0.01)
	return math.Pow(1-math.Min(e, 0.999), 20)
}

// capacity is the expected number of requests per second of the class at the use that is believed; neutral: of the mix, whatever
// the class.
func (s *station) capacity(pos int, reach float64, neutral bool) float64 {
	c := 0.0
	for _, h := range s.likely {
		f := &s.fit[h]
		service := f.service[pos]
		if neutral {
			service = s.ofTheMix(f)
		}
		c += f.prob * math.Log(s.believed(h, reach)*slotGrid[h]/service)
	}
	return math.Exp(c)
}

// ofTheMix is the mean service time of a fit over the requests of all groups that use the server.
func (s *station) ofTheMix(f *fitted) float64 {
	work, rate := 0.0, 0.0
	for _, l := range s.links {
		work += l.group.rate * f.service[l.pos]
		rate += l.group.rate
	}
	if rate <= 0 {
		return f.service[0]
	}
	return work / rate
}

// believed is the utilisation of slot choice h up to which a plan may count on the server: nobody has seen that all of its
// slots are there. It is reach times what the server was seen to carry, at least the slots that it has for sure, and at
// most all.
func (s *station) believed(h int, reach float64) float64 {
	return math.Min(1, math.Max(reach*s.fit[h].proven, s.sure/slotGrid[h]))
}

// stretch is how a plan counts utilisation rho of slot choice h beyond what the server was seen to carry: so that
// what is believed is full use. steep is its derivative.
func (s *station) stretch(h int, rho, reach float64) (use, steep float64) {
	proven := s.fit[h].proven
	if rho <= proven {
		return rho, 1
	}
	steep = (1 - proven) / math.Max(s.believed(h, reach)-proven, 1e-3)
	if steep <= 1 {
		return rho, 1
	}
	return proven + (rho-proven)*steep, steep
}

// descend takes one multiplicative step against the gradient.
func (p *planner) descend(rate float64) {
	for g, x := range p.x {
		mean, scale := 0.0, 0.0
		for i := range x {
			mean += x[i] * p.grad[g][i]
			scale += x[i] * math.Abs(p.grad[g][i])
		}
		if scale <= 0 {
			continue
		}
		sum := 0.0
		for i := range x {
			step := max(-2, min(2, rate*(p.grad[g][i]-mean)/scale))
			x[i] *= math.Exp(-step)
			sum += x[i]
		}
		for i := range x {
			x[i] /= sum
		}
	}
}

// cost is the predicted cost per second of shares at `load` times the present rates, in deadlines; with grad it fills
// the gradient by share (divided by the group's rate). A pull tau > 0 is for solve, which has set p.resting.
func (p *planner) cost(x [][]float64, load, tau float64, grad bool) float64 {
	total := 0.0
	for _, s := range p.stations {
		total += p.stationCost(s, x, load, grad)
	}
	for g, grp := range p.groups {
		for i, l := range grp.links {
			c := l.errors * p.errorTardiness
			total += grp.rate * load * x[g][i] * c
			if grad {
				p.grad[g][i] += c
			}
		}
	}
	if tau <= 0 {
		return total
	}
	for g, grp := range p.groups {
		pull := tau * p.resting[g]
		for i := range x[g] {
			if x[g][i] <= 0 || p.prior[g][i] <= 0 {
				continue
			}
			ratio := x[g][i] / p.prior[g][i]
			if p.crowding {
				cube := ratio * ratio * ratio
				total += grp.rate * load * pull * (x[g][i]*cube - p.prior[g][i]) / 4
				if grad {
					p.grad[g][i] += pull * cube
				}
				continue
			}
			ratio = math.Log(ratio)
			total += grp.rate * load * pull * x[g][i] * ratio
			if grad {
				p.grad[g][i] += pull * (ratio + 1)
			}
		}
	}
	return total
}

// restingCost is the cost of an undisturbed request of the group: its service time as a share of the mean in the cost.
func (g *group) restingCost(p *planner) float64 {
	sum, n := 0.0, 0.0
	for _, l := range g.links {
		if !l.off() {
			sum += 1 / l.station.serviceOf(l.pos)
			n++
		}
	}
	if sum == 0 || g.deadline <= 0 {
		return p.meanShare
	}
	return p.meanShare * n / sum / g.deadline
}

// serviceOf is the expected service time of the class.
func (s *station) serviceOf(pos int) float64 {
	v := 0.0
	for _, h := range s.likely {
		v += s.fit[h].prob * s.fit[h].service[pos]
	}
	return v
}

// stationCost is the cost of all classes at one station, averaged over its likely numbers of slots.
func (p *planner) stationCost(s *station, x [][]float64, load float64, grad bool) float64 {
	total, rate, split := 0.0, 0.0, 0.0
	n := len(s.links)
	if len(p.rates) < n {
		p.rates, p.slopes = make([]float64, n), make([]float64, n)
	}
	rates, slopes := p.rates[:n], p.slopes[:n]
	clear(slopes)
	for k, l := range s.links {
		share := x[l.group.index][l.at]
		r := l.group.rate * load * share
		rates[k] = r
		split += r * share
		rate += r
	}
	for _, h := range s.likely {
		f := &s.fit[h]
		service := f.service[:n]
		work, square := 0.0, 0.0
		for k, r := range rates {
			v := service[k]
			work += r * v
			if !s.pooled {
				square += r * v * v * (1 + s.links[k].group.cv2)
			}
		}
		mean := 0.0
		if rate > 0 {
			mean = work / rate
		} else {
			for _, v := range service {
				mean += v / float64(n)
			}
		}
		rho := (work + s.backlog*mean/p.horizon) / slotGrid[h]
		use, steep := s.stretch(h, rho, p.reach)
		v := pooledFlow
		if work > 0 && !s.pooled {
			v = flow{split / rate, math.Max(square*rate/(work*work)-1, 0)}
		}
		unit, slope := p.waits.at(h, use, v)
		slope *= steep
		wait := mean * unit
		const h2 = 1e-3
		others, spread := 0.0, waitSpread(rho)
		for k, r := range rates {
			g, v := s.links[k].group, service[k]
			c := p.response(g, v, wait, spread)
			total += f.prob * r * c
			if !grad {
				continue
			}
			slopes[k] += f.prob * c
			// One more request of any class raises the wait of all.
			if r > 0 {
				bump := wait*h2 + v*1e-6
				d := (p.response(g, v, wait+bump, spread) - c) / bump
				others += r * d
			}
		}
		if grad {
			more := f.prob * others * mean * slope / slotGrid[h]
			for k, v := range service {
				slopes[k] += more * v
			}
		}
	}
	if grad {
		for k, l := range s.links {
			p.grad[l.group.index][l.at] = slopes[k]
		}
	}
	return total
}

// waitSpread is the squared coefficient of variation of waiting times at utilisation rho.
func waitSpread(rho float64) float64 {
	return 2/max(min(rho, 1), 0.05) - 1 // the divisor is the probability of waiting, roughly
}

// response is the cost of one request in deadlines for a service and a waiting time of such spread.
func (p *planner) response(g *group, service, wait, spread float64) float64 {
	d := g.deadline
	if d <= 0 {
		d = 3 * service
	}
	mean := service + wait
	variance := g.cv2*service*service + wait*wait*spread
	return p.meanShare*mean/d + p.tardy.At(mean, variance, d)
}
