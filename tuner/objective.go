package tuner

import (
	"math"
	"time"

	"trimtab/vts"
)

// Basis says from what the tardiness of an interval was computed.
type Basis string

// FromHistogram is exact to the width of a bucket; FromMean assumes lognormal response times around the mean.
const (
	FromHistogram Basis = "histogram"
	FromMean      Basis = "mean"
	FromNothing   Basis = "nothing"
)

// DefaultErrorTardiness is the tardiness of a failed request, in deadlines.
const DefaultErrorTardiness = 10.0

// assumedCV2 is the squared coefficient of variation of response times when only their mean is known.
const assumedCV2 = 0.6

// reward is the outcome of one interval for one group.
type reward struct {
	requests  float64
	tardiness float64 // Σ max(0, (t−d)/d) of answered requests
	errors    float64 // failed requests
	meanSec   float64
	basis     Basis
}

// perRequest is ART/N with failed requests at errorTardiness deadlines each.
func (r reward) perRequest(errorTardiness float64) float64 {
	if r.requests == 0 {
		return 0
	}
	return (r.tardiness + r.errors*errorTardiness) / r.requests
}

// measure computes the accumulated relative tardiness of a group's interval for a deadline in seconds; deadline 0
// (not learned yet) gives tardiness 0.
func measure(g vts.GroupSample, deadline float64) reward {
	r := reward{basis: FromNothing}
	sum := 0.0
	for _, p := range g.Peers {
		n := float64(p.Requests)
		if n == 0 {
			continue
		}
		r.requests += n
		r.errors += float64(p.Responses.Errors())
		sum += float64(p.ResponseMsec) / 1e3
		if deadline <= 0 {
			continue
		}
		if len(p.Buckets) > 0 && len(p.Buckets) == len(p.BucketsMsec) {
			r.tardiness += bucketTardiness(p, deadline*1e3)
			if r.basis == FromNothing {
				r.basis = FromHistogram
			}
			continue
		}
		mean := math.Max(float64(p.ResponseMsec), 0.4*n) / n / 1e3
		r.tardiness += n * tardiness(mean, assumedCV2*mean*mean, deadline)
		r.basis = FromMean
	}
	if r.requests > 0 {
		r.meanSec = sum / r.requests
	}
	return r
}

// bucketTardiness is Σ max(0, (t−d)/d) with response times spread evenly inside each bucket. What lies above the last
// bound is put where the sum of all response times says, at least at the bound.
func bucketTardiness(p vts.PeerSample, deadlineMsec float64) float64 {
	total, below, low, spent := 0.0, 0.0, 0.0, 0.0
	for k, high := range p.BucketsMsec {
		n := float64(p.Buckets[k]) - below
		below = float64(p.Buckets[k])
		if n > 0 {
			spent += n * (low + high) / 2
			total += n * evenTardiness(low, high, deadlineMsec)
		}
		low = high
	}
	if above := float64(p.Requests) - below; above > 0 {
		t := math.Max(low, (float64(p.ResponseMsec)-spent)/above)
		total += above * math.Max(0, t-deadlineMsec) / deadlineMsec
	}
	return total
}

// evenTardiness is the mean of max(0, (t−d)/d) for t uniform between low and high.
func evenTardiness(low, high, d float64) float64 {
	switch {
	case high <= d:
		return 0
	case low >= d:
		return ((low+high)/2 - d) / d
	default:
		return (high - d) * (high - d) / (2 * (high - low) * d)
	}
}

// momentsOf returns count, sum and sum of squares of a peer's response times in seconds, from its histogram with the
// mean corrected to the exact one; ok is false without a histogram.
func momentsOf(p vts.PeerSample) (n, sum, square float64, ok bool) {
	if p.Requests == 0 || len(p.Buckets) == 0 || len(p.Buckets) != len(p.BucketsMsec) {
		return 0, 0, 0, false
	}
	below, low := 0.0, 0.0
	for k, high := range p.BucketsMsec {
		c := float64(p.Buckets[k]) - below
		below = float64(p.Buckets[k])
		n += c
		sum += c * (low + high) / 2
		square += c * (low*low + low*high + high*high) / 3
		low = high
	}
	if above := float64(p.Requests) - below; above > 0 {
		t := math.Max(low, (float64(p.ResponseMsec)-sum)/above)
		n += above
		sum += above * t
		square += above * t * t
	}
	if n <= 0 || sum <= 0 {
		return 0, 0, 0, false
	}
	exact := math.Max(float64(p.ResponseMsec), 0.4*float64(p.Requests)) / 1e3
	scale := exact / (sum / 1e3)
	return n, exact, square / 1e6 * scale * scale, true
}

// deadlineOf is d = μ + c·σ with c = 1 + 1/priority.
func deadlineOf(m moments, priority float64) time.Duration {
	if priority <= 0 {
		priority = 1
	}
	d := m.mean() + (1+1/priority)*math.Sqrt(m.variance())
	return time.Duration(d * float64(time.Second))
}
