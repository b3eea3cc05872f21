package tuner

import (
	"math"

	"trimtab/tuner/estimate"
	"trimtab/tuner/params"
)

// tail is how service times spread at one server: what the 99th percentile hangs on. It is learned sooner than the
// spread that plans go by, which must not jump.
type tail struct {
	Requests float64 `json:"tail_requests"`
	Sum      float64 `json:"tail_sum"` // of the squared coefficients of variation, over requests
}

const (
	tailMemory = 300.0 // s
	tailPrior  = 30.0  // requests that SCVFirst counts as, for a group
	tailPeers  = 100.0 // requests that the spread at its peers counts as, for a server
	tailChance = 15.0  // variance of the log of what one request says of it
	tailFloor  = 0.1   // log: the width of the buckets
)

// observe takes in the reading of an interval in which little waited.
func (v *tail) observe(seconds float64, r estimate.Reading) {
	keep := math.Exp(-seconds / tailMemory)
	v.Requests, v.Sum = keep*v.Requests, keep*v.Sum
	if r.Count > 1 {
		n := r.Count - 1
		v.Requests += n
		v.Sum += n * r.SCV
	}
}

// spreads are the squared coefficients of variation of the service times at every server, and the standard deviations
// of their logarithms.
func (g *group) spreads(par *params.Params) (scv, sd []float64) {
	all := tail{tailPrior, tailPrior * par.SCVFirst}
	for _, l := range g.links {
		all.Requests += l.tail.Requests
		all.Sum += l.tail.Sum
	}
	common := all.Sum / all.Requests
	for _, l := range g.links {
		v := &l.tail
		n := v.Requests + math.Min(tailPeers, all.Requests)
		scv = append(scv, (v.Sum+math.Min(tailPeers, all.Requests)*common)/n)
		sd = append(sd, math.Hypot(tailFloor, math.Sqrt(tailChance/n)))
	}
	return scv, sd
}

const (
	loadStrays = 0.15 // log: how far the load of a minute is from the one before
	loadRecent = 10.0 // s of arrivals that the present rate is known by
)

// loadSD is the standard deviation of the logarithm of the load over the horizon, perSec being the present one.
func loadSD(perSec float64) float64 {
	return math.Hypot(loadStrays, 1/math.Sqrt(math.Max(1, perSec*loadRecent)))
}
