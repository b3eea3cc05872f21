package tuner

import "math"

// trend watches for changes of speed that are too gradual to contradict what is known in any single interval: two-sided
// cumulative sums (Page 1954) of how far response times are above those of the same load before, in standard deviations
// between intervals. What was seen since both sums were zero is kept, and becomes the memory when the change is certain.
type trend struct {
	slower, faster float64
	found          bool    // the last interval made a change certain
	fresh          point   // of the intervals since both sums were 0
	sum, n         float64 // how far those were above, in all, and their number
	noise          float64 // variance between intervals, of successive differences: a trend does not count as noise
	known          float64 // intervals behind noise
	last           float64 // how far the last interval was above
}

const (
	trendSlack  = 0.75 // standard deviations per interval that are no trend
	trendMost   = 3    // standard deviations that one interval counts for at most
	trendEnough = 7    // sum at which the speed has changed
	trendEffect = 0.08 // log difference that matters at a server without waiting
	noiseFirst  = 0.1 * 0.1
	noiseOwn    = 3  // intervals' worth of noiseFirst
	noiseKnown  = 40 // intervals over which the noise is averaged
)

// note takes in an interval whose log response times are above those known by so much, and reports whether the speed has
// changed.
func (t *trend) note(above float64, o seen) bool {
	if t.known == 0 {
		t.noise, t.known = noiseFirst, noiseOwn
	} else {
		d := above - t.last
		t.known = math.Min(t.known+1, noiseKnown)
		t.noise += (d*d/2 - t.noise) / t.known
	}
	t.last = above
	if t.slower == 0 && t.faster == 0 {
		t.fresh.clear(len(o.rate))
		t.sum, t.n = 0, 0
	}
	t.fresh.epoch = o.epoch
	t.fresh.add(o)
	t.sum, t.n = t.sum+above, t.n+1
	z := math.Max(-trendMost, math.Min(trendMost, above/math.Sqrt(t.noise)))
	t.slower = math.Max(0, t.slower+z-trendSlack)
	t.faster = math.Max(0, t.faster-z-trendSlack)
	return math.Max(t.slower, t.faster) >= trendEnough
}

// take hands over what was seen since the change, and starts the sums anew.
func (t *trend) take() point {
	p := t.fresh
	t.fresh, t.slower, t.faster, t.found = point{}, 0, 0, false
	return p
}

// effect is by how much log response times have changed.
func (t *trend) effect() float64 { return math.Abs(t.sum / t.n) }

// above is by how much the log response times of an interval are above those of the same load before; false: there is
// nothing to compare with.
func (s *station) above(o seen) (float64, bool) {
	same := s.familiar(o)
	if same == nil || o.full || o.skip {
		return 0, false
	}
	sum, n := 0.0, 0.0
	for g := range o.latency {
		if o.latency[g] > 0 && same.count[g] > 0 {
			sum += o.count[g] * (math.Log(o.latency[g]) - same.latency[g])
			n += o.count[g]
		}
	}
	if n < 5 {
		return 0, false
	}
	return sum / n, true
}

// least is the change of log response times that matters at the load of an interval: near full use the same change of speed
// makes more of it, and so does chance.
func (s *station) least(w *waits, o seen) float64 {
	_, rho := s.queueing(w, o.rate, o.arrivals)
	return trendEffect / math.Max(1-rho, 0.1)
}
