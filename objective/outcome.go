package objective

import (
	"math"

	"trimtab/vts"
)

// Outcome is what an interval gave, or what a plan is predicted to give, all upstreams together.
type Outcome struct {
	Services []Service
	Capacity float64 // units in use over all servers whose capacity is a control; 0: none is
}

// Service is the share of one upstream in an Outcome.
type Service struct {
	Name          string  `json:"upstream"`
	OfferedPerSec float64 `json:"offered_per_s"` // what clients asked for, refused or not
	CarriedPerSec float64 `json:"carried_per_s"` // what reached a server and was answered without an error
	// of the slowest path: the worst of the servers that carried anything; 0: none did
	DelaySec  float64 `json:"delay_s"`
	Tardiness float64 `json:"art_per_request"`
}

// Observe measures what a sample gave each of the upstreams that are named in terms, in the order of the sample.
// capacity are the units in use. Requests that admission refused count as offered and neither as carried nor as failed.
func Observe(s vts.Sample, terms map[string]Terms, capacity float64) Outcome {
	out := Outcome{Capacity: capacity}
	seconds := s.Interval.Seconds()
	for _, g := range s.Groups {
		t, ok := terms[g.Name]
		if !ok || seconds <= 0 {
			continue
		}
		m := Measure(g, t.Deadline.Seconds())
		out.Services = append(out.Services, Service{
			Name: g.Name, OfferedPerSec: (m.Requests + float64(g.Refused)) / seconds,
			CarriedPerSec: math.Max(0, m.Requests-m.Errors-abandoned(g)) / seconds,
			DelaySec:      DelayOf(g, t.Quantile), Tardiness: m.PerRequest(DefaultErrorTardiness),
		})
	}
	return out
}

// DelayOf is the delay of the slowest path of a group in seconds: the largest mean response time of a server that
// answered anything, or the largest quantile (0 < quantile < 1) by its histogram. 0: no server did.
func DelayOf(g vts.GroupSample, quantile float64) float64 {
	worst := 0.0
	for i := range g.Peers {
		p := &g.Peers[i]
		if p.Requests == 0 {
			continue
		}
		if GaveUp(p) { // none of its response times says how long its clients waited
			worst = math.Max(worst, float64(p.RequestMsec)/float64(p.Requests)/1e3)
			continue
		}
		if quantile > 0 {
			worst = math.Max(worst, quantileOf(*p, quantile))
		} else {
			worst = math.Max(worst, float64(p.ResponseMsec)/float64(p.Requests)/1e3)
		}
	}
	return worst
}

// GaveUp reports whether clients of a server closed their connections before an answer: such an attempt counts as 4xx
// with a response time of 0 and its whole duration as request time, so that a server that answers nobody looks like the
// fastest. Most of the time that requests took is not response time then.
func GaveUp(p *vts.PeerSample) bool {
	return p.Responses[3] > 0 && 2*p.ResponseMsec < p.RequestMsec
}

// abandoned are the requests of a group whose clients gave up.
func abandoned(g vts.GroupSample) float64 {
	sum := 0.0
	for i := range g.Peers {
		if p := &g.Peers[i]; GaveUp(p) {
			sum += float64(p.Responses[3])
		}
	}
	return sum
}

// quantileOf is a quantile of the response times of a server in seconds: by its histogram, spread evenly inside each
// bucket, or lognormal around the mean where there is none.
func quantileOf(p vts.PeerSample, quantile float64) float64 {
	n := float64(p.Requests)
	mean := float64(p.ResponseMsec) / n / 1e3
	var room histogramRoom
	bounds, counts := histogramOf(&p, &room)
	if len(bounds) == 0 {
		return LognormalQuantile(mean, assumedCV2*mean*mean, quantile)
	}
	want, low, below := quantile*n, 0.0, 0.0
	for k, high := range bounds {
		if counts[k] >= want && counts[k] > below {
			return (low + (high-low)*(want-below)/(counts[k]-below)) / 1e3
		}
		low, below = high, counts[k]
	}
	return math.Max(low/1e3, mean) // above the last bound
}

// LognormalQuantile is a quantile of a lognormal time of the mean and variance given, in the unit of the mean.
func LognormalQuantile(mean, variance, quantile float64) float64 {
	if !(mean > 0) {
		return 0
	}
	s2 := math.Log1p(math.Max(0, variance) / (mean * mean))
	return mean * math.Exp(math.Sqrt2*math.Erfinv(2*quantile-1)*math.Sqrt(s2)-s2/2)
}
