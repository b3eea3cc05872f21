package tuner

import (
	"math"
	"time"
)

// station is one server of the proxy, whatever groups use it: what was seen of it and the model fitted to that.
//
// Model: L_g = s_g + W with W = S·w_c(ρ), ρ = Σ_g λ_g s_g / c and S the mean service time of the mix. Every number
// of slots c of slotGrid is fitted by itself (s_g in log space) and scored; a prediction averages over those
// that stand for all. All times are seconds, all rates per second.
type station struct {
	address  string
	links    []*link
	points   []point // operating points seen, the current one first
	stored   []point // what was seen before the last sudden change: a fault that ends restores it
	fit      [slotChoices]fitted
	fitter   *fitter
	pooled   bool                 // a group that uses it is balanced by least connections
	every    bool                 // fit every number of slots in every interval
	fits     int                  // made so far
	sure     float64              // slots that it has but for a probability of doubtful
	likely   []int                // indices into slotGrid of those that stand for all, at most likelyMost
	slots    [slotChoices]float64 // what is known of the slots from before the memory was replaced, log
	against  [slotChoices]float64 // nats that have spoken against each number of slots for long
	inside   float64              // requests held at the end of the interval, by arrivals less completions
	peak     float64              // highest arrivals per second lately
	backlog  float64              // requests waiting beyond the steady state
	full     bool                 // it was saturated in the last interval: its completions are its capacity
	mean     float64              // response time of the last interval over all classes, s
	draining bool                 // it was saturated and its response times still fall
	wait     [likelyMost]float64  // of the load of the last interval, s by likely number of slots, in a step in which it was refitted
	trend    trend
	strange  int           // contradictions of consecutive intervals
	evidence float64       // nats by which they are beyond chance; below 0: faster
	quiet    time.Duration // since the load, a server or the weights of its pool changed
	expected *expectation
	now      seen
	changed  bool // the last interval replaced the memory
}

const (
	likelyMost    = 3
	doubtful      = 0.02 // probability of even fewer slots that station.sure allows
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
	service   []float64 // s_g by link of the station
	proven    float64   // utilisation seen without saturation, or 1
	misfit    float64   // the part of loss that what was seen makes, without what was expected
	loss      float64   // half the weighted squared residuals plus the prior: −log posterior
	posterior float64   // probability, normalised over slotGrid
	prob      float64   // part of the probability that it stands for; 0: none
}

// point is an operating point: averages over the intervals spent there.
type point struct {
	rate     []float64 // λ_g by link, arrivals per second
	arrivals float64   // squared coefficient of variation of the times between them
	latency  []float64 // mean log latency, log seconds
	count    []float64 // requests behind it, after forgetting
	full     float64   // weight of intervals in which it was saturated
	done     []float64 // completions per second while saturated
	finished float64   // requests behind done
	weight   float64   // intervals, after forgetting
	spread   float64   // variance between intervals of the log latency common to all classes
	stay     float64   // s spent there without the queue of before; 0: long
	age      float64   // intervals since it was last visited
	epoch    int       // of the weights in force
}

func newPoint(n int) point {
	return point{rate: make([]float64, n), latency: make([]float64, n), count: make([]float64, n), done: make([]float64, n)}
}

// clear makes p a point of n links that nothing is known of.
func (p *point) clear(n int) {
	if len(p.rate) != n {
		*p = newPoint(n)
		return
	}
	clear(p.rate)
	clear(p.latency)
	clear(p.count)
	clear(p.done)
	*p = point{rate: p.rate, latency: p.latency, count: p.count, done: p.done}
}

// seen is what one interval says of a station.
type seen struct {
	rate, done, latency, count []float64 // by link; latency in s, 0 where nothing usable finished
	arrivals                   float64   // squared coefficient of variation of the times between arrivals
	full                       bool
	skip                       bool    // latencies are those of an old backlog: only capacity may be learned
	epoch                      int     // counts changes of the pool's weights
	seconds                    float64 // 0: the queue is one of long ago
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
		s.points[i].age++
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
	p.age = 0
	p.arrivals = (old*p.arrivals + o.arrivals) / p.weight
	if o.full {
		p.finished *= pointDecay
	}
	if !o.skip && !o.full {
		p.stay += o.seconds
	}
	for g := range o.rate {
		p.rate[g] = (old*p.rate[g] + o.rate[g]) / p.weight
		if o.full {
			p.finished += o.count[g]
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
	p.finished *= keep
	for g := range p.count {
		p.count[g] *= keep
	}
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
