package tuner

import "math"

// station is one server of the proxy, whatever groups use it: what was seen of it and the model fitted to that.
//
// Model: L_g = s_g + W with W = S·w_c(ρ), ρ = Σ_g λ_g s_g / c and S the mean service time of the mix. Every number
// of slots c of slotGrid is fitted by itself (s_g in log space) and scored; a prediction averages over the likely
// ones. All times are seconds, all rates per second.
type station struct {
	address  string
	links    []*link
	points   []point // operating points seen, the current one first
	stored   []point // what was seen before the last sudden change: a fault that ends restores it
	fit      [slotChoices]fitted
	scratch  []float64
	every    bool                 // fit every number of slots in every interval
	fits     int                  // made so far
	likely   []int                // indices into slotGrid with most of the probability, at most likelyMost
	slots    [slotChoices]float64 // what is known of the slots from before the memory was replaced, log
	inside   float64              // requests held at the end of the interval, by arrivals less completions
	backlog  float64              // requests waiting beyond the steady state
	full     bool                 // it was saturated in the last interval: its completions are its capacity
	mean     float64              // response time of the last interval over all classes, s
	draining bool                 // it was saturated and its response times still fall
	wait     [likelyMost]float64  // of the load of the last interval, s by likely number of slots, in a step in which it was refitted
	strange  int                  // consecutive intervals that contradict the fit
	expected *expectation
	changed  bool // the last interval replaced the memory
}

const (
	likelyMost    = 3
	stillFalls    = 0.75 // ratio of mean response times of two intervals that says a queue is still being worked off
	pointsMost    = 8
	pointDecay    = 0.97  // forgetting per interval at the same operating point
	memoryDecay   = 0.995 // forgetting per interval of the other operating points
	samePoint     = 0.15  // relative difference of load that is still the same operating point
	changeFactor  = 1.35  // ratio of seen to predicted latency that may be a change of capacity
	changeCertain = 2.2   // ratio that is enough by itself
	changeAtOnce  = 1.8   // ratio that needs two intervals instead of four
)

// fitted is the fit for one number of slots.
type fitted struct {
	service []float64 // s_g by link of the station
	proven  float64   // utilisation seen without saturation, or 1
	loss    float64   // half the weighted squared residuals plus the prior: −log posterior
	prob    float64   // normalised over slotGrid
}

// point is an operating point: averages over the intervals spent there.
type point struct {
	rate    []float64 // λ_g by link, arrivals per second
	latency []float64 // mean log latency, log seconds
	count   []float64 // requests behind it, after forgetting
	full    float64   // weight of intervals in which it was saturated
	done    []float64 // completions per second while saturated
	weight  float64   // intervals, after forgetting
	spread  float64   // variance between intervals of the log latency common to all classes
	epoch   int       // of the weights in force
}

func newPoint(n int) point {
	return point{rate: make([]float64, n), latency: make([]float64, n), count: make([]float64, n), done: make([]float64, n)}
}

// seen is what one interval says of a station.
type seen struct {
	rate, done, latency, count []float64 // by link; latency in s, 0 where nothing usable finished
	full                       bool
	skip                       bool // latencies are those of an old backlog: only capacity may be learned
	epoch                      int  // counts changes of the pool's weights
}

// near reports whether the loads of p are those of rate.
func (p *point) near(rate []float64) bool {
	total, diff := 0.0, 0.0
	for g := range rate {
		total += rate[g] + p.rate[g]
		diff += math.Abs(rate[g] - p.rate[g])
	}
	return diff <= samePoint*(total/2)+1e-9
}

// learn takes in one interval.
func (s *station) learn(o seen) {
	for i := range s.points {
		s.points[i].weight *= memoryDecay
		for g := range s.points[i].count {
			s.points[i].count[g] *= memoryDecay
		}
		s.points[i].full *= memoryDecay
	}
	at := -1
	for i := range s.points {
		if s.points[i].epoch == o.epoch && s.points[i].near(o.rate) && (s.points[i].full > 0) == o.full {
			at = i
			break
		}
	}
	if at < 0 {
		s.points = append(s.points, newPoint(len(o.rate)))
		at = len(s.points) - 1
		if len(s.points) > pointsMost {
			at = s.lightest()
			s.points[at] = newPoint(len(o.rate))
			last := len(s.points) - 1
			s.points[at], s.points = s.points[last], s.points[:last]
		}
	}
	s.points[at].epoch = o.epoch
	s.points[at].add(o)
	s.points[0], s.points[at] = s.points[at], s.points[0]
}

func (s *station) lightest() int {
	least := 1
	for i := 2; i < len(s.points)-1; i++ {
		if s.points[i].weight < s.points[least].weight {
			least = i
		}
	}
	return least
}

func (p *point) add(o seen) {
	p.scatter(o)
	old := p.weight * pointDecay
	p.weight = old + 1
	for g := range o.rate {
		p.rate[g] = (old*p.rate[g] + o.rate[g]) / p.weight
		if o.full {
			p.done[g] = (p.full*pointDecay*p.done[g] + o.done[g]) / (p.full*pointDecay + 1)
		}
		if o.skip || o.full || o.latency[g] <= 0 || o.count[g] <= 0 {
			continue
		}
		was := p.count[g] * pointDecay
		p.count[g] = was + o.count[g]
		p.latency[g] = (was*p.latency[g] + o.count[g]*math.Log(o.latency[g])) / p.count[g]
	}
	if o.full {
		p.full = p.full*pointDecay + 1
	}
}

// fade forgets part of what is known of the point.
func (p *point) fade(keep float64) {
	p.weight *= keep
	p.full *= keep
	for g := range p.count {
		p.count[g] *= keep
	}
}

// refit fits every number of slots to the points, warm from the last fit.
func (s *station) refit(w *waits, prior *expectation, cv2 []float64) {
	least := math.Inf(1)
	s.fits++
	for h := range s.fit {
		// What is unlikely is fitted in turn: a new number of slots becomes likely over several intervals.
		if s.every || s.fits < 8 || s.changed || s.fit[h].prob > 1e-3 || h%4 == s.fits%4 || len(s.fit[h].service) == 0 {
			s.fitSlots(w, h, prior, cv2)
		}
		least = math.Min(least, s.fit[h].loss)
	}
	sum := 0.0
	for h := range s.fit {
		s.fit[h].prob = math.Exp(least - s.fit[h].loss)
		sum += s.fit[h].prob
	}
	s.likely = s.likely[:0]
	kept := 0.0
	for len(s.likely) < likelyMost && kept < 0.95 {
		best := -1
		for h := range s.fit {
			if !containsInt(s.likely, h) && (best < 0 || s.fit[h].prob > s.fit[best].prob) {
				best = h
			}
		}
		s.likely = append(s.likely, best)
		kept += s.fit[best].prob / sum
	}
	for h := range s.fit {
		s.fit[h].prob /= sum
	}
	for _, h := range s.likely {
		s.fit[h].prob /= kept
	}
}

func containsInt(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// fitSlots fits the service times for slotGrid[h] by Gauss–Newton steps and scores the result.
func (s *station) fitSlots(w *waits, h int, prior *expectation, cv2 []float64) {
	f := &s.fit[h]
	n := len(s.links)
	if len(f.service) != n {
		f.service = make([]float64, n)
	}
	if len(s.scratch) < 5*n {
		s.scratch = make([]float64, 5*n)
	}
	c := slotGrid[h]
	for g := range f.service {
		if f.service[g] <= 0 {
			f.service[g] = s.firstGuess(g, prior.typical[g])
		}
	}
	num, den := s.scratch[:n], s.scratch[n:2*n]
	for range fitSteps {
		speed := f.speed(prior)
		for g := range f.service {
			num[g], den[g] = 0, 0
			if k := prior.weight[g]; k > 0 {
				num[g] = k*(math.Log(prior.typical[g]/f.service[g])+speed) + prior.stiff*(prior.speed-speed)/float64(n)
				den[g] = k + prior.stiff/float64(n)
			}
		}
		for i := range s.points {
			s.points[i].pull(s.scratch[2*n:5*n], num, den, f.service, w, h, cv2)
		}
		moved := 0.0
		for g := range f.service {
			if den[g] > 0 {
				step := math.Max(-0.7, math.Min(0.7, num[g]/den[g]))
				f.service[g] *= math.Exp(step)
				moved = math.Max(moved, math.Abs(step))
			}
		}
		if moved < 1e-4 {
			break
		}
	}
	f.loss = s.loss(w, h, prior, cv2)
	f.proven = 0
	for i := range s.points {
		p := &s.points[i]
		_, rho := mix(p.rate, f.service, c)
		if p.full > 0 {
			rho = 1
		}
		f.proven = math.Max(f.proven, math.Min(rho, 1))
	}
}

const (
	fitSteps    = 4
	spreadFirst = 0.15 * 0.15 // variance between intervals before it is measured
	priorMost   = 2           // nats that expected service times may count for or against a number of slots
	fullCount   = 400         // requests' worth of one saturated interval
	modelNoise  = 0.03        // relative error of the formula itself
	waitNoise   = 0.2         // relative error of its waiting time
)

// residuals compares a point with a fit, by class in log latency. All classes of a server wait in one queue, so that
// an error of the waiting time, be it the formula's or chance, shows in all of them in proportion to their waiting:
// its best estimate is taken out of the residuals (the covariance is diagonal plus one common direction, inverted by
// Sherman and Morrison). What remains tells the classes apart even when most of their time is waiting. res, inv and
// dir are scratch by class: remaining residual, precision, common direction. It returns the wait in s, its slope by
// utilisation, the utilisation, and twice the loss.
func (p *point) residuals(res, inv, dir, service []float64, w *waits, h int, cv2 []float64) (wait, slope, rho, loss float64) {
	mean, rho := mix(p.rate, service, slotGrid[h])
	unit, unitSlope := w.at(h, rho)
	wait, slope = mean*unit, mean*unitSlope
	share, n := 0.0, 0.0
	for g := range service {
		inv[g] = 0
		if p.count[g] <= 0 {
			continue
		}
		latency := service[g] + wait
		res[g] = p.latency[g] - math.Log(latency)
		inv[g] = 1 / (cv2[g]/p.count[g] + modelNoise*modelNoise)
		dir[g] = wait / latency
		share += dir[g]
		n++
	}
	if n == 0 {
		return wait, slope, rho, 0
	}
	share /= n
	jj, jr, rr := 0.0, 0.0, 0.0
	for g := range service {
		if inv[g] == 0 {
			continue
		}
		if share > 0.02 {
			dir[g] /= share
		} else {
			dir[g] = 1
		}
		jj += dir[g] * dir[g] * inv[g]
		jr += dir[g] * res[g] * inv[g]
		rr += res[g] * res[g] * inv[g]
	}
	variance := waitNoise*waitNoise*share*share + p.spread/math.Max(p.weight, 1)
	common := variance * jr / (1 + variance*jj)
	for g := range service {
		res[g] -= dir[g] * common
	}
	return wait, slope, rho, rr - common*jr
}

// pull adds the point's Gauss–Newton terms for log service times.
func (p *point) pull(scratch, num, den, service []float64, w *waits, h int, cv2 []float64) {
	n := len(service)
	if p.full > 0 {
		if use, _ := mix2(p.done, service); use > 0 {
			r := math.Log(slotGrid[h] / use)
			for g := range service {
				e := p.done[g] * service[g] / use
				num[g] += p.full * fullCount * e * r
				den[g] += p.full * fullCount * e
			}
		}
	}
	res, inv, dir := scratch[:n], scratch[n:2*n], scratch[2*n:3*n]
	wait, slope, rho, _ := p.residuals(res, inv, dir, service, w, h, cv2)
	work, _ := mix2(p.rate, service)
	for g := range service {
		if inv[g] == 0 {
			continue
		}
		latency := service[g] + wait
		part := 0.0
		if work > 0 {
			part = p.rate[g] * service[g] / work
		}
		own := (service[g] + part*(slope*rho+wait)) / latency
		all := (service[g] + wait + slope*rho) / latency
		num[g] += inv[g] * own * res[g]
		den[g] += inv[g] * own * math.Min(all, 3)
	}
}

// loss is half the sum of squared standardised residuals plus the prior of the slots.
func (s *station) loss(w *waits, h int, prior *expectation, cv2 []float64) float64 {
	f, c, n := &s.fit[h], slotGrid[h], len(s.links)
	loss := -prior.slots[h] - s.slots[h]
	for i := range s.points {
		p := &s.points[i]
		if p.full > 0 {
			use, _ := mix2(p.done, f.service)
			r := math.Log(math.Max(use, 1e-9) / c)
			loss += r * r / 2 * p.full * fullCount
		}
		_, _, _, l := p.residuals(s.scratch[2*n:3*n], s.scratch[3*n:4*n], s.scratch[4*n:5*n], f.service, w, h, cv2)
		loss += math.Min(l/2, 60)
	}
	speed, against := f.speed(prior), 0.0
	for g := range f.service {
		if k := prior.weight[g]; k > 0 {
			r := math.Log(f.service[g]/prior.typical[g]) - speed
			against += k * r * r / 2
		}
	}
	if prior.stiff > 0 {
		against += prior.stiff * (speed - prior.speed) * (speed - prior.speed) / 2
	}
	return loss + math.Min(against, priorMost)
}

// scatter updates the variance between intervals. The waits of one busy period are nearly the same, so that many
// requests of one interval say little more than one: how much intervals differ is measured, not assumed.
func (p *point) scatter(o seen) {
	if p.spread == 0 {
		p.spread = spreadFirst
	}
	if o.skip || o.full {
		return
	}
	sum, n := 0.0, 0.0
	for g := range o.latency {
		if o.latency[g] > 0 && p.count[g] > 0 {
			sum += o.count[g] * (math.Log(o.latency[g]) - p.latency[g])
			n += o.count[g]
		}
	}
	if n > 0 {
		r := sum / n
		k := 1 / (p.weight + 3)
		p.spread += k * (r*r*p.weight/(p.weight+1) - p.spread)
	}
}

// mix returns the mean service time of the mix and the utilisation for rates and service times by link.
func mix(rate, service []float64, slots float64) (mean, rho float64) {
	work, total := mix2(rate, service)
	if total <= 0 {
		return 0, 0
	}
	return work / total, work / slots
}

func mix2(rate, service []float64) (work, total float64) {
	for g, r := range rate {
		work += r * service[g]
		total += r
	}
	return work, total
}

// speed is the mean log factor between the fitted service times and the typical ones.
func (f *fitted) speed(e *expectation) float64 {
	sum, n := 0.0, 0.0
	for g, v := range f.service {
		if e.typical[g] > 0 {
			sum += math.Log(v / e.typical[g])
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// firstGuess starts a fit: the lowest mean latency seen, or the group's typical service time.
func (s *station) firstGuess(g int, prior float64) float64 {
	if prior > 0 {
		return prior
	}
	best := 0.0
	for i := range s.points {
		p := &s.points[i]
		if p.count[g] > 0 {
			if v := math.Exp(p.latency[g]); best <= 0 || v < best {
				best = v
			}
		}
	}
	if best <= 0 {
		return 0.01
	}
	return best
}
