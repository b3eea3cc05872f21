package pursuit

import (
	"math"

	"trimtab/tuner"
	"trimtab/tuner/queueing"
	"trimtab/weights"
)

// shown are the numbers of slots that what a server shows leaves possible. An interval leaves possible what its mean
// wait is neither too short nor too long for; a server that had work all the time has as many as were busy. What does
// not fit the intervals before is a change, and counts alone. Where a server was full once, a belief that was formed in
// hours is held to them: its waits say sooner how many slots there are now.
type shown struct {
	low, high  float64 // high may be +Inf
	full       bool    // it was full once
	light      bool    // it once served who came without a queue, so that it is known how long requests take
	waiting    bool    // more than half of the answer times of the last interval was waiting
	queued     bool    // requests waited at the end of the last interval
	waitSec    float64 // mean wait of the last interval
	fit        float64 // times the service times, so that the slots finish what the server was seen to finish
	less, more float64 // what waits of late were shorter than low, and longer than high, would have: sums (Page 1954)
}

// waiting is what an interval shows of a server.
type waiting struct {
	perSec, count float64
	busy          float64 // what it finished times what that takes without waiting
	waitSec       float64 // mean over its requests
	held          float64 // requests at the server at the end, where most of them wait
	flow          queueing.Flow
}

const (
	waitSurprise = 3.0  // standard deviations of a mean wait that are no chance
	sumSurprise  = 4.0  // and of its sums, of which
	sumSlack     = 1.0  // an interval takes so many away: waits are less than the formula says as often as not
	baseUnsure   = 0.05 // relative standard deviation of a response time without waiting
	slotsMost    = 4.0  // times those busy, up to which numbers of slots are told apart
	fitMost      = 1.1
	steadyWait   = 0.2 // by which a wait differs from the last one that is none but a slower server
)

// observe takes in an interval; slower says that answers take longer than any number of slots explains.
func (s shown) observe(v waiting) (is shown, slower bool) {
	if !(v.perSec > 0) || !(v.busy > 0) || math.IsInf(v.busy, 0) {
		return s, false
	}
	was := s
	s.waitSec, s.queued = v.waitSec, v.held > waitsShare*v.busy+waitsFew
	s.waiting = v.waitSec >= v.busy/v.perSec
	switch {
	case s.waiting && was.waiting && !s.queued && !was.queued &&
		math.Abs(v.waitSec-was.waitSec) < steadyWait*was.waitSec:
		if low, high := v.possible(); low > high {
			return s, true
		}
		return s, false
	case s.queued: // it had work all the time
		s.full, s.low = true, math.Max(1, math.Round(v.busy))
		s.high, s.fit = s.low, math.Max(1, math.Min(fitMost, s.low/v.busy))
		s.less, s.more = 0, 0
		return s, false
	case was.queued || was.waiting: // as a queue ends, less is finished than could be, by requests that waited long
		s.low = math.Max(s.low, math.Floor(v.busy))
		s.high = math.Max(s.high, s.low)
		return s, false
	}
	low, high := v.possible()
	if low > high {
		return s, false
	}
	if was.low == 0 {
		s.low, s.high = low, high
		return s, false
	}
	s.low, s.high = math.Max(low, s.low), math.Min(high, s.high)
	s.less = math.Max(0, s.less-v.surprise(s.low, 1)-sumSlack)
	s.more = math.Max(0, s.more+v.surprise(s.high, -1)-sumSlack)
	if s.less > sumSurprise {
		s.low, s.less = math.Floor(s.low)+1, 0
	}
	if s.more > sumSurprise {
		s.high, s.more = math.Max(1, math.Ceil(s.high)-1), 0
	}
	if s.low > s.high {
		s.low, s.high, s.fit = math.Max(low, math.Min(s.low, high)), high, 1
	}
	return s, false
}

// surprise is by how many standard deviations the mean wait is longer than that of so many slots, with what is not
// known of service times added to it (side 1) or taken off (−1). Waits that follow each other go together: the variance
// of their mean is that of a reflected Brownian motion (Whitt 1989), and its distribution nearly a gamma one, whose
// cube root is nearly normal (Wilson and Hilferty 1931).
func (v *waiting) surprise(slots, side float64) float64 {
	if math.IsInf(slots, 1) {
		return 0
	}
	service, n := v.busy/v.perSec, math.Max(v.count, 1)
	rho := math.Min(v.busy/slots, queueing.NearFull)
	wait := service * queueing.Wait(rho, slots, v.flow)
	seen := math.Max(v.waitSec, 0) + side*service*math.Hypot(math.Sqrt(v.flow.Service/n), baseUnsure)
	if wait <= seen && side > 0 || seen <= 0 && side < 0 {
		return 0
	}
	ninth := (2/rho - 1 + 2*(v.flow.Arrivals+v.flow.Service)/((1-rho)*(1-rho))) / n / 9
	return (math.Cbrt(math.Max(seen, 0)/math.Max(wait, 1e-9)) - 1 + ninth) / math.Sqrt(ninth)
}

// possible are the least and the most slots that the mean wait is neither too short nor too long for; low is more than
// high if there are none.
func (v *waiting) possible() (low, high float64) {
	low = math.Inf(1)
	step := func(c float64) float64 { return math.Max(1, math.Floor(c/32)) }
	most := slotsMost*v.busy + waitsFew
	for c := math.Max(1, math.Ceil(v.busy)); c <= most; c += step(c) {
		if v.surprise(c, 1) >= -waitSurprise {
			low = math.Min(low, c)
		}
		if v.surprise(c, -1) <= waitSurprise {
			high = c
		}
	}
	if high+step(high) > most {
		high = math.Inf(1)
	}
	return low, high
}

// show takes in what the last interval shows of a server of a pool.
func (p *Policy) show(pool *tuner.PoolBelief, j int, inForce weights.Set, seconds float64) {
	name := pool.Servers[j].Address
	is, slower := p.shown[name].observe(p.waitingAt(pool, j, inForce, seconds))
	is.light = is.light || p.serves(&pool.Servers[j])
	p.shown[name] = is
	for _, g := range pool.Groups {
		q := p.quietOf(name, g.Name)
		if slower && q.took > q.base {
			q.base += chanceWeight * (q.took - q.base)
		}
	}
}

// serves reports whether a server was seen to answer in the last interval, and not to have more requests than it serves
// at once.
func (p *Policy) serves(sv *tuner.ServerBelief) bool {
	if !(sv.Inside > 0 && sv.Inside < sv.MeanSlots()) || p.left[sv.Address] {
		return false
	}
	for _, q := range p.quiet[sv.Address] {
		if q.done > 0 && q.took < chanceOfBase*q.last { // who waited in a queue that is gone is among them
			return false
		}
	}
	return true
}

// waitingAt is what the last interval shows of a server of a pool.
func (p *Policy) waitingAt(pool *tuner.PoolBelief, j int, inForce weights.Set, seconds float64) waiting {
	var v waiting
	address, square, aware := pool.Servers[j].Address, 0.0, false
	for _, g := range pool.Groups {
		q, total, mine := p.quietOf(address, g.Name), 0, 0
		for _, l := range g.Links {
			if set := inForce[g.Name][pool.Servers[l.Server].Address]; !set.Down && !l.Off {
				total += set.Weight.Int()
				if l.Server == j {
					mine = set.Weight.Int()
				}
			}
		}
		if !(q.done > 0) || mine == 0 {
			continue
		}
		v.perSec += q.done
		v.count += q.done * seconds
		v.busy += q.done * q.base
		v.waitSec += q.done * (q.took - q.base)
		square += q.done * q.base * q.base * (1 + g.SCV)
		blocked := p.levels.Blocked[g.Name]
		regular := (1-blocked)*p.offered[g.Name].regular() + blocked
		v.flow.Arrivals += q.done * regular * float64(mine) / float64(total)
		aware = aware || g.Method.LoadAware()
		if !g.Method.LoadAware() {
			v.held += q.held
		}
	}
	if !(v.busy > 0) {
		return waiting{}
	}
	if aware {
		v.held = math.Max(v.held, v.waitSec)
	}
	v.waitSec /= v.perSec
	v.flow.Arrivals /= v.perSec
	v.flow.Service = math.Max(square*v.perSec/v.busy/v.busy-1, 0)
	return v
}
