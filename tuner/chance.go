package tuner

import (
	"math"
	"time"
)

// Evidence, in nats, that a server has become slower, rather than been busy by chance.
const (
	beyondChance = 12.0 // replaces the memory of a server when nothing has changed for long
	longQuiet    = 10 * time.Minute
	evidenceKeep = 0.8 // of the interval before: busy periods last, so that two intervals are not twice the evidence of one
)

// proof is the evidence that replaces the memory: the longer neither the load, nor a server, nor the weights have changed, the
// more.
func (s *station) proof() float64 {
	return beyondChance * math.Min(s.quiet.Seconds()/longQuiet.Seconds(), 1)
}

// chance is how improbable it is, in nats, that an interval is as slow as it was by chance: by the number of slots that
// finds it the least improbable, of all those that explain what was seen.
//
// A queue at utilisation ρ exceeds its mean by n requests with a probability of about exp(−θn), θ = 2(1−ρ)/(ca²+cs²)
// (heavy traffic), and works them off at c(1−ρ)/S per second. m requests more than expected, as a mean over an interval of T
// seconds, are such an excursion through the whole interval, n = m, or one within it with the area mT = n²S/c(1−ρ),
// whichever is the less probable.
func (s *station) chance(w *waits, o seen) float64 {
	rate, requests, best := 0.0, 0.0, s.leastMisfit()
	for g := range o.rate {
		rate += o.rate[g]
		requests += o.count[g]
	}
	if rate <= 0 { // nothing was sent, so that nothing queued
		return beyondChance
	}
	least := math.Inf(1)
	for h := range s.fit {
		f := &s.fit[h]
		if len(f.service) != len(o.rate) || f.misfit > best+plausible {
			continue
		}
		mean, rho := mix(o.rate, f.service, slotGrid[h])
		v := s.flow(o.arrivals, o.rate, f.service)
		unit, _ := w.at(h, rho, v)
		more := 0.0
		for g, l := range o.latency {
			if l > 0 {
				more += o.rate[g] * (l - f.service[g] - mean*unit)
			}
		}
		room := math.Max(1-rho, 0)
		within := math.Sqrt(math.Max(more, 0) * slotGrid[h] * room / mean * requests / rate)
		least = math.Min(least, 2*room/(v.arrivals+v.service)*math.Max(more, within))
	}
	return math.Max(least, 0.1)
}
