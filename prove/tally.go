package prove

import (
	"math"
	"slices"
	"time"

	"trimtab/objective"
	"trimtab/vts"
)

// Tally is what the requests of one upstream came to.
type Tally struct {
	Requests   uint64    `json:"requests"`
	Errors     uint64    `json:"errors"`
	ResponseMS uint64    `json:"response_ms"` // sum
	BoundsMS   []float64 `json:"le_ms,omitempty"`
	Counts     []uint64  `json:"counts,omitempty"` // at or below each bound
}

// Add takes in what a server did in an interval.
func (t *Tally) Add(p *vts.PeerSample) {
	t.Merge(&Tally{Requests: p.Requests, Errors: p.Responses.Errors(), ResponseMS: p.ResponseMsec,
		BoundsMS: p.BucketsMsec,
		Counts:   p.Buckets})
}

// Merge adds what other requests came to.
func (t *Tally) Merge(o *Tally) {
	first := t.Requests == 0
	t.Requests += o.Requests
	t.Errors += o.Errors
	t.ResponseMS += o.ResponseMS
	switch {
	case o.Requests == 0:
	case first:
		t.BoundsMS, t.Counts = slices.Clone(o.BoundsMS), slices.Clone(o.Counts)
	case !slices.Equal(t.BoundsMS, o.BoundsMS) || len(t.Counts) != len(o.Counts):
		t.BoundsMS, t.Counts = nil, nil // histograms of different bounds do not add up
	default:
		for i := range t.Counts {
			t.Counts[i] += o.Counts[i]
		}
	}
}

// MeanMS is the mean response time in ms; NaN without requests.
func (t *Tally) MeanMS() float64 {
	if t.Requests == 0 {
		return math.NaN()
	}
	// NGINX's clock ticks in ms: what takes less counts as 0.
	return math.Max(float64(t.ResponseMS)/float64(t.Requests), 0.01)
}

// Quantile is the response time in ms that a share q of the requests stays below, between bounds by the logarithm; NaN
// without a histogram. What lies above the last bound is put where the sum of all response times says.
func (t *Tally) Quantile(q float64) float64 {
	if t.Requests == 0 || len(t.Counts) == 0 || len(t.Counts) != len(t.BoundsMS) {
		return math.NaN()
	}
	want, below, low := q*float64(t.Requests), 0.0, 0.0
	spent := 0.0
	for i, high := range t.BoundsMS {
		n := math.Max(below, float64(t.Counts[i]))
		if n >= want && n > below {
			part := (want - below) / (n - below)
			if low <= 0 {
				return math.Max(high*part, 0.01)
			}
			return low * math.Pow(high/low, part)
		}
		spent += (n - below) * (low + high) / 2
		below, low = n, high
	}
	above := float64(t.Requests) - below
	if above <= 0 {
		return low
	}
	mean := math.Max(low, (float64(t.ResponseMS)-spent)/above)
	return low + 2*(mean-low)*(want-below)/above
}

// ErrorShare is the share of requests that failed; NaN without requests.
func (t *Tally) ErrorShare() float64 {
	if t.Requests == 0 {
		return math.NaN()
	}
	return float64(t.Errors) / float64(t.Requests)
}

// art is the accumulated relative tardiness of the upstream, failed requests included.
func (t *Tally) art(deadlineMS float64) float64 {
	m := objective.Measure(vts.GroupSample{Peers: []vts.PeerSample{t.peer()}}, deadlineMS/1e3)
	return m.Tardiness + m.Errors*objective.DefaultErrorTardiness
}

// deadline is the one that is learned from what the upstream did, in ms; 0: nothing can be.
func (t *Tally) deadline() float64 {
	n, sum, square, ok := objective.MomentsOf(t.peer())
	if !ok {
		if t.Requests == 0 {
			return 0
		}
		return 3 * t.MeanMS()
	}
	return float64(objective.DeadlineOf(objective.Moments{N: n, Sum: sum, Square: square},
		1)) / float64(time.Millisecond)
}

// peer is the tally as one server of a sample.
func (t *Tally) peer() vts.PeerSample {
	p := vts.PeerSample{Known: t.Requests > 0, Requests: t.Requests, ResponseMsec: t.ResponseMS,
		BucketsMsec: t.BoundsMS, Buckets: t.Counts}
	p.Responses[4] = t.Errors
	return p
}
