package tuner

import "math"

// peakKeep is what remains of the highest rate of arrivals after an interval.
const peakKeep = 0.8

// account follows the number of requests inside the station over an interval and decides whether it was saturated,
// that is whether its completions are its capacity.
//
// Shares of a round robin are exact, so arrivals less completions is what the station holds more than before. What it
// holds cannot exceed by much what came during a response time at the highest rate of late; that keeps the count from
// drifting. In the interval in which a backlog runs out the completions are less than the capacity: it does not count.
func (s *station) account(seconds float64) {
	arrived, done, spent, growth := 0.0, 0.0, 0.0, 0.0
	known, slow := 0.0, false // completions per second whose time is known: failures say nothing
	for _, l := range s.links {
		arrived += l.arrive
		done += l.done
		spent += l.done * l.latency
		growth += (l.arrive - l.done) * seconds
		if l.latency > 0 {
			known += l.done
		}
		if l.latency > 2*l.restingLatency() {
			slow = true
		}
	}
	s.mean = 0
	if known > 0 {
		s.mean = spent / known
		spent = s.mean * done
	} else {
		slow = s.full
	}
	before := s.inside
	s.inside = math.Max(0, s.inside+growth)
	s.peak = math.Max(arrived, s.peak*peakKeep)
	if spent > 0 { // unknown while it fails: what waits there is not forgotten for that
		s.inside = math.Min(s.inside, 1.3*s.peak*s.mean+2*spent+3)
	}
	noise := 3 + 0.05*arrived*seconds
	s.full, s.backlog = false, 0
	if slow {
		resting := s.resting(done)
		growing := growth > noise && growth > 1.2*spent-before
		drained := before > 5+0.2*done*seconds && before > 1.5*resting && s.inside > 3+resting
		if s.full = growing || drained; s.full {
			s.backlog = math.Max(0, s.inside-1.5*resting)
		}
	}
	for _, l := range s.links {
		l.backlog = 0
		if done > 0 {
			l.backlog = s.backlog * l.done / done
		}
	}
}

// resting is the number of requests in service at a rate without any waiting.
func (s *station) resting(done float64) float64 {
	sum := 0.0
	for _, l := range s.links {
		sum += l.done * l.restingLatency()
	}
	return math.Max(sum, 0)
}

// restingLatency is the fitted service time, or before the first fit the lowest latency in the group.
func (l *link) restingLatency() float64 {
	if len(l.station.likely) > 0 {
		return l.station.serviceOf(l.pos)
	}
	least := 0.0
	for _, o := range l.group.links {
		if o.latency > 0 && (least == 0 || o.latency < least) {
			least = o.latency
		}
	}
	return least
}

// queueing is how long requests wait at rates by link, in s by likely number of slots, and the utilisation averaged over
// those. Requests of all classes wait alike.
func (s *station) queueing(w *waits, rate []float64, arrivals float64) (wait [likelyMost]float64, rho float64) {
	for i, h := range s.likely {
		f := &s.fit[h]
		mean, use := mix(rate, f.service, slotGrid[h])
		unit, _ := w.at(h, use, s.flow(arrivals, rate, f.service))
		wait[i] = mean * unit
		rho += f.prob * use
	}
	return wait, rho
}

// regularity is the squared coefficient of variation of the times between arrivals: what a smooth round robin gives a
// server of a Poisson stream has its share for one.
func (s *station) regularity() float64 {
	sum, total := 0.0, 0.0
	for _, l := range s.links {
		sum += l.arrive * l.share
		total += l.arrive
	}
	if total <= 0 {
		return 1
	}
	return sum / total
}

// flow is how irregular arrivals, of the given regularity, and the service of the mix are.
func (s *station) flow(arrivals float64, rate, service []float64) flow {
	work, square, total := 0.0, 0.0, 0.0
	for g, r := range rate {
		work += r * service[g]
		square += r * service[g] * service[g] * (1 + s.links[g].group.cv2)
		total += r
	}
	if s.pooled || work <= 0 {
		return pooledFlow
	}
	return flow{arrivals, math.Max(square*total/(work*work)-1, 0)}
}

// predicted is the mean response time of a link that the fit expects with such waiting, averaged over the slots.
func (s *station) predicted(wait *[likelyMost]float64, pos int) (latency float64) {
	for i, h := range s.likely {
		latency += s.fit[h].prob * (s.fit[h].service[pos] + wait[i])
	}
	return latency
}

// strangeEnough is the sum of contradictions of consecutive intervals that replaces the memory.
const strangeEnough = 4

// contradicts says how strongly an interval speaks against the fit, 0: not, and how improbable it is by chance, in nats: below
// 0 when the station has become faster.
func (s *station) contradicts(w *waits, o seen) (against int, nats float64) {
	known := 0.0
	for i := range s.points {
		known += s.points[i].weight
	}
	if len(s.likely) == 0 || known < 3 {
		return 0, 0
	}
	if o.full {
		use, rho := 0.0, 0.0
		for _, h := range s.likely {
			f := &s.fit[h]
			done, _ := mix2(o.done, f.service)
			sent, _ := mix2(o.rate, f.service)
			use += f.prob * done / slotGrid[h]
			rho += f.prob * sent / slotGrid[h]
		}
		// Saturated although the fit has room: slower than known. It finishes more than the fit allows: faster.
		if (rho < 0.9 && use < 0.8) || use > 1.25 {
			return strangeEnough, beyondChance // beyond any queue
		}
		return 0, 0
	}
	if o.skip {
		return 0, 0
	}
	same := s.familiar(o)
	sum, weight := 0.0, 0.0
	wait, rho := s.queueing(w, o.rate, o.arrivals)
	for g := range o.rate {
		if o.latency[g] <= 0 || o.count[g] < 5 {
			continue
		}
		want := s.predicted(&wait, g)
		if same != nil && same.count[g] >= 5 {
			want = math.Exp(same.latency[g])
		}
		room := 1 / math.Max(1-math.Min(rho, 0.9), 0.1)
		k := 1 / (s.links[g].group.cv2/o.count[g] + 0.05*0.05 + math.Pow(0.04*room, 2))
		sum += k * math.Log(o.latency[g]/want)
		weight += k
	}
	if weight == 0 {
		return 0, 0
	}
	ratio := sum / weight
	switch r := math.Abs(ratio); {
	case r*math.Sqrt(weight) < 4 || r < math.Log(changeFactor):
		return 0, 0
	case same == nil && r < math.Log(changeAtOnce):
		return 0, 0 // a load never seen: the fit was wrong about it, and learns
	case same == nil || r < math.Log(changeAtOnce):
		against = strangeEnough / 4
	case r < math.Log(changeCertain) || r*math.Sqrt(weight) < 8:
		against = strangeEnough / 2
	default:
		against = strangeEnough
	}
	switch {
	case ratio < 0: // no burst makes a server faster
		return against, -beyondChance
	case s.pooled: // least connections send a server no burst of its own
		return against, beyondChance
	}
	return against, s.chance(w, o)
}

// familiar is the operating point with the load of an interval that has been seen long enough to compare with; nil:
// none.
func (s *station) familiar(o seen) *point {
	for i := range s.points {
		if p := &s.points[i]; p.full == 0 && p.weight >= 3 && p.near(o.rate) {
			return p
		}
	}
	return nil
}

// doubts reports whether the memory has to be replaced: intervals in a row contradict it beyond chance, one saturation does,
// or a trend.
func (s *station) doubts(w *waits) bool {
	s.changed = false
	above, ok := s.above(s.now)
	if s.trend.found = ok && s.trend.note(above, s.now) && s.trend.effect() > s.least(w, s.now); s.trend.found {
		return true
	}
	against, nats := s.contradicts(w, s.now)
	if against == 0 {
		s.strange, s.evidence = 0, 0
		return false
	}
	if nats > 0 != (s.evidence > 0) {
		s.evidence = 0 // a busy interval and a quiet one are not one change
		if s.quiet >= longQuiet {
			s.strange = 0
		}
	}
	s.strange += against
	s.evidence = evidenceKeep*s.evidence + nats
	return s.strange >= strangeEnough && math.Abs(s.evidence) >= s.proof()
}

// replace replaces the memory and learns the interval, and returns the work that makes. A fault that ends brings the
// memory of before it back, if that explains the interval.
func (s *station) replace(w *waits) (work int) {
	s.strange, s.evidence, s.changed = 0, 0, true
	found, fresh := s.trend.found, s.trend.take()
	if found {
		s.points, s.stored = []point{fresh}, s.points
		s.forget()
		return s.fitWork(slotChoices)
	}
	s.points, s.stored = s.stored, s.points
	if len(s.points) > 0 && len(s.points[0].rate) == len(s.links) {
		work = s.refit(w, s.expected, s.variances())
		if against, _ := s.contradicts(w, s.now); against == 0 {
			s.learn(s.now)
			return work
		}
	}
	s.points = nil
	s.forget()
	s.learn(s.now)
	return work + s.fitWork(slotChoices) // that of the first fit
}

// forget leaves the fits nothing to go on from but what is known of the slots.
func (s *station) forget() {
	s.likely = s.likely[:0]
	for h := range s.fit {
		// Slots rarely change, speeds do: half of what is known of the slots remains.
		s.slots[h] = math.Max(math.Log(math.Max(s.fit[h].posterior, 1e-3))/2, -2)
		s.against[h] = 0
		s.fit[h].service = nil
	}
}

func (s *station) variances() []float64 {
	v := make([]float64, len(s.links))
	for i, l := range s.links {
		v[i] = l.group.cv2
	}
	return v
}
