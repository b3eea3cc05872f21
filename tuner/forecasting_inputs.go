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

// course is how far the load of a group strays: what a minute may bring that the present one does not show.
type course struct {
	Log      float64 `json:"course_log"` // of the rate per s, mean
	Variance float64 `json:"course_variance"`
	Seconds  float64 `json:"course_s"` // behind it
}

const (
	courseMemory = 300.0 // s
	courseMean   = 60.0  // s in which the mean follows
	courseFirst  = 0.08  // log: before anything was seen
	courseWeight = 60.0  // s that it counts as
	courseMost   = 0.4   // log: after a night, the next minute is not another night
	courseRecent = 10.0  // s of arrivals that the present rate is known by
)

// observe takes in the rate of an interval.
func (c *course) observe(seconds, perSec float64) {
	if !(perSec > 0) {
		return
	}
	value := math.Log(perSec)
	if c.Seconds == 0 {
		c.Log = value
	}
	d := value - c.Log
	c.Log += (1 - math.Exp(-seconds/courseMean)) * d
	chance := 1 / math.Max(1, perSec*seconds)
	c.Seconds = math.Min(c.Seconds+seconds, courseMemory)
	c.Variance += math.Min(1, seconds/c.Seconds) * (math.Max(0, d*d-chance) - c.Variance)
}

// sd is the standard deviation of the log of the load over the horizon, perSec being the present one.
func (c *course) sd(perSec float64) float64 {
	v := (c.Seconds*c.Variance + courseWeight*courseFirst*courseFirst) / (c.Seconds + courseWeight)
	return math.Min(math.Sqrt(v+1/math.Max(1, perSec*courseRecent)), courseMost)
}
