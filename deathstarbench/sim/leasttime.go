package sim

// NGINX 1.31's "least_time last_byte [inflight]": the peer with the least
//
//	class(time) · (1 + active) / weight
//
// and smooth weighted round robin among those that are equal. The time is the moving average of the response times of
// answered attempts, halved for every fail_timeout that the peer was not tried; with inflight it is at least the moving
// average of the mean age of the requests in flight. Times count in classes of 20 ms; above 5 s all are equally bad.
//
// In the simulator a response arrives whole, so that "least_time header" would pick the same peers.
//
// Times are NGINX's unsigned milliseconds. With several workers on one zone a worker whose cached clock is behind sees
// negative ages, which wrap to about 2⁶⁴ ms (Options.ClocksBehind): it has to wrap here too.

const (
	leastTimeClass = 20   // ms
	leastTimeMax   = 5000 // ms
	unmeasured     = ^uint64(0)
	clockLag       = 1e6 // ns; at least, and the mean of what comes on top: 2 ms on average, as seen on two busy cores
)

// timing is what least_time knows of a peer. Times are in ms.
type timing struct {
	response    uint64 // moving average
	age         uint64 // of the requests in flight, moving average
	ages        uint64 // sum of the ages at the time changed
	changed     uint64 // when inFlight changed last
	inFlight    uint64
	peak, stamp float64 // of peak-EWMA, ns
}

// ending is how an attempt ended.
type ending uint8

const (
	answered  ending = iota
	abandoned        // by the client, before the answer
	failed           // refused or cut
)

// average is NGINX's moving average with a share of 5 % for the new value, rounded: a value that is within 10 of the
// average does not move it. The order of the sums decides how ties are rounded, and the conversions keep the compiler
// from fusing them.
func average(avg *uint64, v uint64) {
	if *avg == 0 {
		*avg = v
		return
	}
	sum := 0.5 + float64(float64(float64(v)*0.05)+float64(float64(*avg)*0.95))
	if sum >= 1<<64 {
		sum = 0 // as x86-64 converts it
	}
	*avg = uint64(sum)
}

// clock is the clock of the worker that handles an event at the time now, in ns: NGINX reads the time once per round of
// events, so that a worker that lost its processor for a moment takes requests on an old time.
func (g *group) clock(now int64) int64 {
	if g.behind > 0 && g.rng.Float64() < g.behind {
		return max(0, now-int64((1+g.rng.ExpFloat64())*clockLag))
	}
	return now
}

// leastTimeCost is the time that the peer needs for what it has and one request more, in ms; now is in s.
func (g *group) leastTimeCost(i int, now int64) uint64 {
	t, h := &g.timings[i], &g.health[i]
	response := t.response
	if idle := now - h.checked; idle > g.failTimeout {
		response >>= uint64(idle/(g.failTimeout+1)) % 64 // 64-bit processors shift by the count's last six bits
	}
	if t.inFlight > 0 {
		response = max(response, t.age)
	}
	if response > leastTimeMax {
		response = leastTimeMax
	} else {
		response += leastTimeClass - response%leastTimeClass
	}
	return response * uint64(1+g.peers[i].conns)
}

// leastTime picks at the time ms; now is the same in s.
func (g *group) leastTime(ms uint64, now int64) int {
	best, many, least := none, false, uint64(0)
	for i := range g.peers {
		if !g.usable(i, now) {
			continue
		}
		if t := &g.timings[i]; t.inFlight > 0 {
			average(&t.age, t.ages/t.inFlight+(ms-t.changed))
		}
		cost := g.leastTimeCost(i, now)
		g.costs[i] = cost
		if best == none {
			best, least = i, cost
			continue
		}
		if l, r := cost*uint64(g.peers[best].weight), least*uint64(g.peers[i].weight); l < r {
			best, least, many = i, cost, false
		} else if l == r {
			many = true
		}
	}
	if best == none {
		return none
	}
	if many {
		best = g.leastTimeTie(best, least, now)
	}
	if t := &g.timings[best]; g.method == LeastTime {
		if t.inFlight > 0 {
			t.ages += (ms - t.changed) * t.inFlight
		}
		t.changed = ms
		t.inFlight++
	}
	return best
}

// leastTimeTie chooses among the peers from best on that cost as much per weight. As NGINX does, it goes on comparing
// with the least cost when another weight than that cost's has become the best.
func (g *group) leastTimeTie(best int, least uint64, now int64) int {
	total := int32(0)
	for i := best; i < len(g.peers); i++ {
		p := &g.peers[i]
		if !g.usable(i, now) || g.costs[i]*uint64(g.peers[best].weight) != least*uint64(p.weight) {
			continue
		}
		p.current += p.effective
		total += p.effective
		if p.effective < p.weight {
			p.effective++
		}
		if p.current > g.peers[best].current {
			best = i
		}
	}
	g.peers[best].current -= total
	return best
}

// leastTimeDone ends an attempt that took the given time. The time of a failed one is not known to NGINX at this
// point, so that its age stays in the sum until the peer has no request left.
func (g *group) leastTimeDone(i int, ms, took uint64, how ending) {
	t := &g.timings[i]
	if how == failed {
		took = unmeasured
	}
	switch t.inFlight {
	case 0: // least_time without inflight
	case 1:
		t.inFlight, t.ages = 0, 0
	default:
		t.ages += (ms-t.changed)*t.inFlight - took
		t.changed = ms
		t.inFlight--
	}
	if how == answered {
		average(&t.response, took)
	}
}
