package sim

// NGINX 1.31's "least_time last_byte inflight": the peer with the least estimated time to finish what it has, which is
// its response time, moving average, times one more than its active requests, per weight. Times count in classes of
// 20 ms so that close ones share by smooth weighted round robin; above 5 s all are equally bad. The average age of the
// requests in flight replaces the response time when it is longer, and a peer that was not tried for fail_timeout
// has its time halved again and again. Only successful attempts are measured.

const (
	leastTimeClass = 20   // ms
	leastTimeMax   = 5000 // ms
)

// timing is what least_time knows of a peer. Times are in ms.
type timing struct {
	response    int64 // moving average
	age         int64 // of the requests in flight, moving average
	ages        int64 // sum of the ages at the time changed
	changed     int64 // when inFlight changed last
	inFlight    int64
	peak, stamp float64 // of peak-EWMA, ns
}

// average is NGINX's moving average with a share of 5 % for the new value, rounded.
func average(avg *int64, v int64) {
	if *avg == 0 {
		*avg = v
		return
	}
	*avg = int64(0.5 + float64(v)*0.05 + float64(*avg)*0.95)
}

// leastTimeEstimate is the time that the peer needs for what it has and one request more, in ms.
func (g *group) leastTimeEstimate(i int, now int64) int64 {
	t, h := &g.timings[i], &g.health[i]
	response := t.response
	if idle := now - h.checked; idle > g.failTimeout {
		if shift := idle / (g.failTimeout + 1); shift < 64 {
			response >>= shift
		} else {
			response = 0
		}
	}
	if t.inFlight > 0 {
		response = max(response, t.age)
	}
	if response > leastTimeMax {
		response = leastTimeMax
	} else {
		response += leastTimeClass - response%leastTimeClass
	}
	return response * int64(1+g.peers[i].conns)
}

// leastTime picks at the time ms; now is the same in s.
func (g *group) leastTime(ms, now int64) int {
	best, many, least := none, false, int64(0)
	for i := range g.peers {
		if !g.usable(i, now) {
			continue
		}
		if t := &g.timings[i]; t.inFlight > 0 {
			average(&t.age, t.ages/t.inFlight+ms-t.changed)
		}
		estimate := g.leastTimeEstimate(i, now)
		g.estimates[i] = estimate
		if best == none {
			best, least = i, estimate
			continue
		}
		if l, r := estimate*int64(g.peers[best].weight), least*int64(g.peers[i].weight); l < r {
			best, least, many = i, estimate, false
		} else if l == r {
			many = true
		}
	}
	if best == none {
		return none
	}
	if many {
		total := int32(0)
		for i := best; i < len(g.peers); i++ {
			p := &g.peers[i]
			if !g.usable(i, now) || g.estimates[i]*int64(g.peers[best].weight) != least*int64(p.weight) {
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
	}
	t := &g.timings[best]
	if t.inFlight > 0 {
		t.ages += (ms - t.changed) * t.inFlight
	}
	t.changed = ms
	t.inFlight++
	return best
}

// leastTimeDone ends an attempt that took the given time, in ms.
func (g *group) leastTimeDone(i int, ms, took int64, ok bool) {
	t := &g.timings[i]
	if t.inFlight <= 1 {
		t.ages = 0
	} else {
		t.ages += (ms-t.changed)*t.inFlight - took
		t.changed = ms
	}
	t.inFlight--
	if ok {
		average(&t.response, took)
	}
}
