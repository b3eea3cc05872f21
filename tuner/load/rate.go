package load

import (
	"math"

	"trimtab/tuner/params"
)

// Rate follows how many requests arrive per second: the mean over Params.HorizonSec while what differs is chance, and
// the last interval as soon as it is not. The zero value knows nothing.
type Rate struct {
	Mean float64 `json:"per_s"`
	Sec  float64 `json:"s"` // behind it, at most HorizonSec
}

// Observe takes in the arrivals per second of an interval.
func (r *Rate) Observe(p *params.Params, perSec, seconds float64) {
	if !(seconds > 0) {
		return
	}
	// Twice as irregular as a Poisson stream is no other load yet.
	spread := math.Sqrt((r.Mean + 1/seconds) * (1/seconds + 1/math.Max(r.Sec, seconds)))
	if r.Sec == 0 || math.Abs(perSec-r.Mean) > p.RateSurprise*math.Sqrt2*spread {
		r.Mean, r.Sec = perSec, seconds
		return
	}
	r.Sec = math.Min(r.Sec+seconds, math.Max(p.HorizonSec, seconds))
	r.Mean += seconds / r.Sec * (perSec - r.Mean)
}

// PerSec is the rate now, 0 before the first interval.
func (r *Rate) PerSec() float64 { return r.Mean }

// Arrivals estimates how many requests per second arrive at a group balanced by round robin, where the servers that
// keep up tell it: they finish what they are sent, their share of everything, and a server that finishes less of its
// share is one that fills up. asked are the requests per second that ended at each server, shares what each was sent,
// both in the same order; a share of 0 is of a server that tells nothing.
func Arrivals(asked, shares []float64) float64 {
	total, all, rest := 0.0, 0.0, 0.0
	for i, a := range asked {
		if shares[i] > 0 {
			total += a
			all += shares[i]
		} else {
			rest += a // of what waited
		}
	}
	if all <= 0 {
		return rest
	}
	total /= all
	// The servers of the highest ratio, until they stand for enough of the traffic to be no chance.
	used := make([]bool, len(asked))
	a, s := 0.0, 0.0
	for s < telling {
		best := -1
		for i := range asked {
			if !used[i] && shares[i] > 0 && (best < 0 || asked[i]*shares[best] > asked[best]*shares[i]) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		used[best] = true
		a += asked[best]
		s += shares[best]
	}
	if a/s < total*(1+keepUp) {
		return total
	}
	return a / s
}

const (
	telling = 0.3 // share of the traffic that says what all of it is
	keepUp  = 0.1 // relative difference from which a server is one that does not keep up
)
