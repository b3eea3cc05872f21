package sim

import (
	"time"

	"trimtab/vts"
)

// counters are the statistics of one server of a group since the last sample, as the status page counts them.
type counters struct {
	requests                  uint64
	responses                 vts.Responses
	inBytes, outBytes         uint64
	requestMsec, responseMsec uint64
	buckets                   []uint64 // not cumulative; the last one holds what is above all bounds
}

func newCounters(n, bounds int) []counters {
	c := make([]counters, n)
	flat := make([]uint64, n*(bounds+1))
	for i := range c {
		c[i].buckets = flat[i*(bounds+1) : (i+1)*(bounds+1) : (i+1)*(bounds+1)]
	}
	return c
}

// bucketIndex finds the histogram bucket of a time in whole ms: by table for short times, by search for long ones.
type bucketIndex struct {
	bounds []float64
	short  [1024]uint8
}

func newBucketIndex(bounds []float64) *bucketIndex {
	b := &bucketIndex{bounds: bounds}
	for ms := range b.short {
		b.short[ms] = uint8(b.search(uint64(ms), 0))
	}
	return b
}

func (b *bucketIndex) search(ms uint64, from int) int {
	i := from
	for i < len(b.bounds) && float64(ms) > b.bounds[i] {
		i++
	}
	return i
}

func (b *bucketIndex) find(ms uint64) int {
	if ms < uint64(len(b.short)) {
		return int(b.short[ms])
	}
	return b.search(ms, int(b.short[len(b.short)-1]))
}

// count records a finished attempt, as the shim does: one that was passed on has its own time and no bytes, and one
// that had no status when its client gave up has no response time, only the request's. Times are differences of
// NGINX's clock, which shows whole milliseconds.
func (s *Sim) count(r *request, now int64, status uint16, passedOn bool) {
	const ms = int64(time.Millisecond)
	g := &s.groups[r.group]
	c := &g.stats[r.peer]
	took := uint64(now/ms - r.began/ms)
	if status == gaveUp {
		took = 0
	}
	c.requests++
	c.responses[status/100-1]++
	c.responseMsec += took
	c.buckets[s.buckets.find(took)]++
	if passedOn {
		c.requestMsec += took
		return
	}
	c.requestMsec += uint64(now/ms - r.due/ms)
	in, out := g.traffic(r.normal, status)
	c.inBytes += in
	c.outBytes += out
}

// sample returns what the n-th balancer saw since its last sample.
func (s *Sim) sample(n int) vts.Sample {
	b := &s.fleet[n]
	out := vts.Sample{
		At:         s.opts.Epoch.Add(time.Duration(s.now)),
		Interval:   time.Duration(s.now - b.sampled),
		Generation: s.opts.Epoch.UnixMilli() + b.generation/int64(time.Millisecond),
		Reloaded:   b.generation > b.sampled,
		Connections: vts.Connections{Active: b.inFlight + 1, Writing: b.inFlight + 1, Requests: b.finished + 1,
			Accepted: 1, Handled: 1},
		Groups: make([]vts.GroupSample, len(b.byName)),
	}
	for n, i := range b.byName {
		g := &s.groups[i]
		peers := make([]vts.PeerSample, len(g.peers))
		flat := make([]uint64, len(g.peers)*len(s.opts.BucketsMsec))
		for j := range peers {
			c := &g.stats[j]
			peers[j] = vts.PeerSample{
				Server: s.servers[g.server[j]].name, Weight: int(g.peers[j].weight), Down: g.health[j].down,
				Known:    c.requests > 0,
				Requests: c.requests, InBytes: c.inBytes, OutBytes: c.outBytes, Responses: c.responses,
				RequestMsec: c.requestMsec, ResponseMsec: c.responseMsec,
			}
			if k := len(s.opts.BucketsMsec); k > 0 {
				b := flat[j*k : (j+1)*k : (j+1)*k]
				sum := uint64(0)
				for i := range b {
					sum += c.buckets[i]
					b[i] = sum
				}
				peers[j].BucketsMsec, peers[j].Buckets = s.opts.BucketsMsec, b
			}
			clear(c.buckets)
			*c = counters{buckets: c.buckets}
		}
		out.Groups[n] = vts.GroupSample{Name: g.name, Peers: peers, Refused: g.refused}
		g.refused = 0
	}
	if n == 0 {
		out.Hosts = s.hosts(out.Interval)
	}
	b.sampled, b.finished = s.now, 0
	return out
}

// hosts is what the machines of the servers say of an interval: a processor for each slot, and pressure while all are
// taken, which is the share of requests that had to wait where arrivals are Poisson's. With several balancers the first
// one is told.
func (s *Sim) hosts(interval time.Duration) []vts.HostSample {
	out := make([]vts.HostSample, len(s.servers))
	for i := range s.servers {
		srv := &s.servers[i]
		h := vts.UnknownHost(srv.name)
		h.CPU = min(1, float64(srv.used)/float64(max(1, int64(srv.baseSlots)*int64(interval))))
		h.CPUPressure = 0
		if served := srv.served - srv.servedBefore; served > 0 {
			h.CPUPressure = min(1, float64(srv.waited-srv.waitedBefore)/float64(served))
		}
		srv.used, srv.servedBefore, srv.waitedBefore = 0, srv.served, srv.waited
		out[i] = h
	}
	return out
}
