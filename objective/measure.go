package objective

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

// Target is what an operator wants of one upstream group.
type Target struct {
	Deadline time.Duration // 0: learned, see DeadlineOf
	Priority float64       // at least 1; 0 means 1
}

// Measured is the outcome of one interval for one group.
type Measured struct {
	Requests  float64
	Tardiness float64 // Σ max(0, (t−d)/d) of answered requests
	Errors    float64 // failed requests
	MeanSec   float64
	Basis     Basis
}

// PerRequest is ART/N with failed requests at errorTardiness deadlines each.
func (r Measured) PerRequest(errorTardiness float64) float64 {
	if r.Requests == 0 {
		return 0
	}
	return (r.Tardiness + r.Errors*errorTardiness) / r.Requests
}

// Measure computes the accumulated relative tardiness of a group's interval for a deadline in seconds; deadline 0
// (not learned yet) gives tardiness 0.
func Measure(g vts.GroupSample, deadline float64) Measured {
	r := Measured{Basis: FromNothing}
	sum := 0.0
	var room histogramRoom
	for i := range g.Peers {
		p := &g.Peers[i]
		n := float64(p.Requests)
		if n == 0 {
			continue
		}
		r.Requests += n
		r.Errors += float64(p.Responses.Errors())
		sum += float64(p.ResponseMsec) / 1e3
		if deadline <= 0 {
			continue
		}
		if bounds, counts := histogramOf(p, &room); len(bounds) > 0 {
			r.Tardiness += bucketTardiness(p, bounds, counts, deadline*1e3)
			if r.Basis == FromNothing {
				r.Basis = FromHistogram
			}
			continue
		}
		mean := math.Max(float64(p.ResponseMsec), 0.4*n) / n / 1e3
		r.Tardiness += n * Tardiness(mean, assumedCV2*mean*mean, deadline)
		r.Basis = FromMean
	}
	if r.Requests > 0 {
		r.MeanSec = sum / r.Requests
	}
	return r
}

// bucketTardiness is Σ max(0, (t−d)/d) with response times spread evenly inside each bucket. What lies above the last
// bound is put where the sum of all response times says, at least at the bound.
func bucketTardiness(p *vts.PeerSample, bounds, counts []float64, deadlineMsec float64) float64 {
	total, below, low, spent := 0.0, 0.0, 0.0, 0.0
	for k, high := range bounds {
		n := counts[k] - below
		below = counts[k]
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

// MomentsOf returns count, sum and sum of squares of a peer's response times in seconds, from its histogram with the
// mean corrected to the exact one; ok is false without a histogram.
func MomentsOf(p vts.PeerSample) (n, sum, square float64, ok bool) {
	var room histogramRoom
	bounds, counts := histogramOf(&p, &room)
	below, low := 0.0, 0.0
	for k, high := range bounds {
		c := counts[k] - below
		below = counts[k]
		n += c
		sum += c * (low + high) / 2
		square += c * (low*low + low*high + high*high) / 3
		low = high
	}
	if above := float64(p.Requests) - below; above > 0 && len(bounds) > 0 {
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

const secondsPerYear = 365 * 24 * 3600

// DeadlineOf is d = μ + c·σ with c = 1 + 1/priority, at most a year.
func DeadlineOf(m Moments, priority float64) time.Duration {
	if priority <= 0 {
		priority = 1
	}
	d := m.Mean() + (1+1/priority)*math.Sqrt(m.Variance())
	return time.Duration(math.Min(d, secondsPerYear) * float64(time.Second))
}
