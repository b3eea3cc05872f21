package daemon

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/vts"
)

// answers are counters and histograms of what the servers answered, summed up from the samples: by upstream, and by
// server for as long as there are few enough of them. It is read by whoever asks for metrics while the loop adds to it.
type answers struct {
	requests, errors, upstreamSeconds, serverSeconds *prometheus.Desc

	mu        sync.Mutex
	upstreams map[string]*answered
	servers   map[[2]string]*answered
}

// answered is what an upstream or a server did since the daemon began.
type answered struct {
	requests, errors uint64
	seconds          float64
	bounds           []float64 // s
	counts           []uint64
	timed            uint64 // of the requests in counts
	seen             bool   // in the last sample
}

// serversTimed is the number of servers in upstreams up to which each has a histogram: a histogram is 22 series.
const serversTimed = 200

func newAnswers(reg prometheus.Registerer) *answers {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trimtab_"+name, help, labels, nil)
	}
	a := &answers{
		requests: desc("server_requests_total", "Requests that the server finished.", "upstream", "server"),
		errors:   desc("server_errors_total", "Requests that the server failed (5xx).", "upstream", "server"),
		upstreamSeconds: desc("upstream_response_seconds",
			"Response times of the servers of the upstream, as NGINX saw them.", "upstream"),
		serverSeconds: desc("server_response_seconds",
			"Response times of the server, as NGINX saw them; with at most 200 servers in upstreams.",
			"upstream", "server"),
		upstreams: map[string]*answered{}, servers: map[[2]string]*answered{},
	}
	reg.MustRegister(a)
	return a
}

// take adds a sample. Series of what it does not show go.
func (a *answers) take(s *vts.Sample) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.upstreams {
		x.seen = false
	}
	for _, x := range a.servers {
		x.seen = false
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		upstream := label(g.Name)
		all := entry(a.upstreams, upstream)
		for j := range g.Peers {
			p := &g.Peers[j]
			all.add(p)
			entry(a.servers, [2]string{upstream, label(p.Server)}).add(p)
		}
	}
	for key, x := range a.upstreams {
		if !x.seen {
			delete(a.upstreams, key)
		}
	}
	for key, x := range a.servers {
		if !x.seen {
			delete(a.servers, key)
		}
	}
}

func entry[K comparable](of map[K]*answered, key K) *answered {
	x := of[key]
	if x == nil {
		x = &answered{}
		of[key] = x
	}
	x.seen = true
	return x
}

func (x *answered) add(p *vts.PeerSample) {
	x.requests += p.Requests
	x.errors += p.Responses.Errors()
	if p.Requests == 0 || len(p.Buckets) == 0 || len(p.Buckets) != len(p.BucketsMsec) ||
		!slices.IsSorted(p.BucketsMsec) {
		return
	}
	bounds := make([]float64, len(p.BucketsMsec))
	for i, ms := range p.BucketsMsec {
		bounds[i] = ms / 1e3
	}
	if !slices.Equal(bounds, x.bounds) { // another page: a histogram that begins anew, as after a restart
		x.bounds, x.counts, x.timed, x.seconds = bounds, make([]uint64, len(bounds)), 0, 0
	}
	below := uint64(0)
	for i, n := range p.Buckets {
		below = max(below, min(n, p.Requests))
		x.counts[i] += below
	}
	x.timed += p.Requests
	x.seconds += float64(p.ResponseMsec) / 1e3
}

// Describe implements prometheus.Collector.
func (a *answers) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{a.requests, a.errors, a.upstreamSeconds, a.serverSeconds} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (a *answers) Collect(to chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for upstream, x := range a.upstreams {
		x.histogram(to, a.upstreamSeconds, upstream)
	}
	for key, x := range a.servers {
		to <- prometheus.MustNewConstMetric(a.requests, prometheus.CounterValue, float64(x.requests), key[:]...)
		to <- prometheus.MustNewConstMetric(a.errors, prometheus.CounterValue, float64(x.errors), key[:]...)
		if len(a.servers) <= serversTimed {
			x.histogram(to, a.serverSeconds, key[:]...)
		}
	}
}

func (x *answered) histogram(to chan<- prometheus.Metric, d *prometheus.Desc, labels ...string) {
	if x.timed == 0 {
		return
	}
	counts := make(map[float64]uint64, len(x.bounds))
	for i, b := range x.bounds {
		counts[b] = x.counts[i]
	}
	to <- prometheus.MustNewConstHistogram(d, x.timed, x.seconds, counts, labels...)
}
