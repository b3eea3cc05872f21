package objective

// KindDelayBound holds delay bounds.
const KindDelayBound = "delay_bound"

// violationPrice is what a bound that is broken by all of itself costs beside a delay of a whole bound: so much that
// the least violation comes first, and latency decides among what violates the same.
const violationPrice = 100.0

// delayBound holds the delay of every upstream, its mean or a quantile, within its bound: the least violation first,
// then the least delay,
//
//	Reward = −Σ importance_i · (violationPrice · max(0, d_i/b_i − 1) + d_i/b_i).
//
// Unit: bounds. Source: the end-to-end delay bound, the first management objective of the service-mesh framework.
// Nobody is refused for it: an upstream that carries nothing although it was offered something counts as violated by
// all of its bound.
type delayBound struct{ valued }

func (delayBound) Kind() string { return KindDelayBound }

func (o delayBound) Reward(out Outcome) float64 {
	sum := 0.0
	for _, s := range out.Services {
		t := o.terms[s.Name]
		excess := t.Excess(s.DelaySec)
		if s.OfferedPerSec > 0 { // what is refused waits for ever
			excess += 1 - min(1, s.CarriedPerSec/s.OfferedPerSec)
		}
		sum -= t.Importance * (violationPrice*excess + s.DelaySec/t.Bound.Seconds())
	}
	return sum
}
