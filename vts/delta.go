package vts

import (
	"fmt"
	"math"
	"time"
)

// Limits beyond which a difference is a broken page rather than traffic, per server and second.
const (
	absurdRequestsPerSec = 1e7
	absurdBytesPerSec    = 1e12
	// One finished request adds its own duration to the msec counters at once, however short the interval is.
	absurdRequestMsec = 31 * 24 * 3600 * 1000
)

// Delta returns what happened between two statuses of one server, prev read before cur. Neither is changed, and
// nothing of them is kept but strings and the bounds of histograms.
//
// It fails with a RejectError, and there is no sample, when any counter went down or the zone changed its size
// (ReasonEpoch: a restart or a reset), when the server's clock stood still, went back, or disagrees with the local
// monotonic clock (ReasonClock), when cur comes from an older configuration than prev, as a draining worker's reply
// does (ReasonGeneration), and when a difference is beyond anything a server can do (ReasonAbsurd).
//
// Servers that only prev lists are left out. Servers that only cur lists, and whose counters have therefore no base,
// are in the sample with Known = false and zeros.
func Delta(prev, cur *Status) (Sample, error) {
	interval, err := intervalBetween(prev, cur)
	if err != nil {
		return Sample{}, err
	}
	if err := checkEpoch(prev, cur); err != nil {
		return Sample{}, err
	}
	if cur.LoadMsec < prev.LoadMsec {
		return Sample{}, reject(ReasonGeneration, "the reply is of the configuration loaded at %d ms, older than %d "+
			"ms seen before", cur.LoadMsec, prev.LoadMsec)
	}
	s := Sample{
		At:          cur.At,
		Interval:    interval,
		Generation:  cur.LoadMsec,
		Reloaded:    cur.LoadMsec != prev.LoadMsec,
		Connections: cur.Connections,
		Groups:      make([]GroupSample, 0, len(cur.Upstreams)),
		Hosts:       cur.Hosts,
	}
	s.Connections.Accepted -= prev.Connections.Accepted
	s.Connections.Handled -= prev.Connections.Handled
	s.Connections.Requests -= prev.Connections.Requests

	// One piece of memory for all peers and one for all bucket counts of the sample.
	nPeers, nBuckets := 0, 0
	for i := range cur.Upstreams {
		nPeers += len(cur.Upstreams[i].Peers)
		for j := range cur.Upstreams[i].Peers {
			nBuckets += len(cur.Upstreams[i].Peers[j].Buckets)
		}
	}
	peers := make([]PeerSample, 0, nPeers)
	counts := make([]uint64, 0, nBuckets)
	before := 0 // both lists are sorted by name: one walk matches them
	for i := range cur.Upstreams {
		u := &cur.Upstreams[i]
		for before < len(prev.Upstreams) && prev.Upstreams[before].Name < u.Name {
			before++
		}
		var old lookup
		if before < len(prev.Upstreams) && prev.Upstreams[before].Name == u.Name {
			old.peers = prev.Upstreams[before].Peers
		}
		if u.Name == noGroups {
			continue
		}
		g := GroupSample{Name: u.Name}
		from := len(peers)
		for j := range u.Peers {
			p := &u.Peers[j]
			base := old.find(p.Server, j)
			if p.Pseudo(u.Name) {
				if base != nil {
					g.NoLive = p.Requests - base.Requests
				} else {
					g.NoLive = p.Requests // it appears with its first request
				}
				continue
			}
			g.Ever += p.Requests
			g.Upgraded += p.Responses[0]
			d := PeerSample{Server: p.Server, Weight: p.Weight, Backup: p.Backup, Down: p.Down, Failed: p.Failed}
			if base != nil {
				if err := differ(&d, base, p, interval); err != nil {
					return Sample{}, reject(ReasonAbsurd, "server %s of %s: %w", p.Server, u.Name, err)
				}
				counts = differBuckets(&d, base, p, counts)
			}
			peers = append(peers, d)
		}
		g.Peers = peers[from:len(peers):len(peers)]
		s.Groups = append(s.Groups, g)
	}
	return s, nil
}

// noGroups is where the module lists servers that no upstream block names.
const noGroups = "::nogroups"

// Pseudo reports whether p, listed in the named group, is no server but the group itself: the module charges requests
// that found no live server to it, with weight 0.
func (p *Peer) Pseudo(group string) bool { return p.Weight == 0 && p.Server == group }

// lookup finds servers of a group by their addresses.
type lookup struct {
	peers []Peer
	index map[string]int // made when more than fewPeers have moved
}

// find returns the peer with the address: at the same place as before unless the configuration changed.
func (l *lookup) find(server string, hint int) *Peer {
	if hint < len(l.peers) && l.peers[hint].Server == server {
		return &l.peers[hint]
	}
	if len(l.peers) <= fewPeers {
		for i := range l.peers {
			if l.peers[i].Server == server {
				return &l.peers[i]
			}
		}
		return nil
	}
	if l.index == nil {
		l.index = make(map[string]int, len(l.peers))
		for i := range l.peers {
			l.index[l.peers[i].Server] = i
		}
	}
	if i, ok := l.index[server]; ok {
		return &l.peers[i]
	}
	return nil
}

// The server's clock may lag behind the local one by a turn of a busy worker's event loop, since NGINX reads it once a
// turn, and both drift; a jump is much larger.
const (
	clockSlack      = 500 * time.Millisecond
	clockSlackShare = 0.05
)

func intervalBetween(prev, cur *Status) (time.Duration, error) {
	ms := cur.NowMsec - prev.NowMsec
	if ms <= 0 {
		return 0, reject(ReasonClock, "the server's clock went from %d to %d ms", prev.NowMsec, cur.NowMsec)
	}
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return 0, reject(ReasonClock, "the server's clock went forward by %d ms", ms)
	}
	interval := time.Duration(ms) * time.Millisecond
	if prev.At.IsZero() || cur.At.IsZero() {
		return interval, nil
	}
	local := cur.At.Sub(prev.At) // monotonic when both times carry it
	slack := clockSlack + time.Duration(clockSlackShare*float64(max(local, 0)))
	if low, high := local-cur.Took-slack, local+prev.Took+slack; interval < low || interval > high {
		return 0, reject(ReasonClock, "the server's clock moved by %v while %v passed here", interval,
			local.Round(time.Millisecond))
	}
	return interval, nil
}

// checkEpoch rejects cur when any counter of it is below that of prev.
func checkEpoch(prev, cur *Status) error {
	a, b := &prev.Connections, &cur.Connections
	if b.Accepted < a.Accepted || b.Handled < a.Handled || b.Requests < a.Requests {
		return reject(ReasonEpoch, "the connection counters went down: NGINX was restarted")
	}
	if prev.Zone.MaxBytes != cur.Zone.MaxBytes {
		return reject(ReasonEpoch, "the zone of the counters changed from %d to %d bytes", prev.Zone.MaxBytes,
			cur.Zone.MaxBytes)
	}
	before := 0
	for i := range cur.Upstreams {
		u := &cur.Upstreams[i]
		for before < len(prev.Upstreams) && prev.Upstreams[before].Name < u.Name {
			before++
		}
		if before == len(prev.Upstreams) || prev.Upstreams[before].Name != u.Name {
			continue
		}
		old := lookup{peers: prev.Upstreams[before].Peers}
		for j := range u.Peers {
			if base := old.find(u.Peers[j].Server, j); base != nil && wentDown(base, &u.Peers[j]) {
				return reject(ReasonEpoch, "a counter of server %s of %s went down: NGINX was restarted or the "+
					"counters were reset", u.Peers[j].Server, u.Name)
			}
		}
	}
	return nil
}

func wentDown(a, b *Peer) bool {
	if b.Requests < a.Requests || b.InBytes < a.InBytes || b.OutBytes < a.OutBytes ||
		b.RequestMsec < a.RequestMsec || b.ResponseMsec < a.ResponseMsec {
		return true
	}
	for i := range a.Responses {
		if b.Responses[i] < a.Responses[i] {
			return true
		}
	}
	if !sameBounds(a.BucketsMsec, b.BucketsMsec) {
		return false // another configuration of the histogram, not a reset
	}
	for i := range a.Buckets {
		if b.Buckets[i] < a.Buckets[i] {
			return true
		}
	}
	return false
}

func sameBounds(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// differ fills d with the differences of two readings of one server.
func differ(d *PeerSample, a, b *Peer, interval time.Duration) error {
	d.Requests = b.Requests - a.Requests
	d.InBytes = b.InBytes - a.InBytes
	d.OutBytes = b.OutBytes - a.OutBytes
	d.RequestMsec = b.RequestMsec - a.RequestMsec
	d.ResponseMsec = b.ResponseMsec - a.ResponseMsec
	for i := range d.Responses {
		d.Responses[i] = b.Responses[i] - a.Responses[i]
	}
	d.Known = d.Requests > 0
	sec := interval.Seconds()
	// Counters of one request are not written at one instant: allow a request or two beyond what the rate allows.
	switch n := float64(d.Requests); {
	case n > absurdRequestsPerSec*sec+2:
		return errTooMany("requests", d.Requests, interval)
	case float64(d.InBytes) > absurdBytesPerSec*(sec+1):
		return errTooMany("bytes in", d.InBytes, interval)
	case float64(d.OutBytes) > absurdBytesPerSec*(sec+1):
		return errTooMany("bytes out", d.OutBytes, interval)
	case float64(d.RequestMsec) > absurdRequestMsec*(n+2):
		return errTooMany("ms of request time", d.RequestMsec, interval)
	case float64(d.ResponseMsec) > absurdRequestMsec*(n+2):
		return errTooMany("ms of response time", d.ResponseMsec, interval)
	}
	for _, n := range d.Responses {
		if n > d.Requests+2 {
			return errTooMany("responses of one class", n, interval)
		}
	}
	return nil
}

func errTooMany(what string, n uint64, interval time.Duration) error {
	return fmt.Errorf("%d %s in %v are not possible", n, what, interval)
}

// differBuckets gives d the histogram of the interval, in memory appended to counts. There is none when the page had
// other bounds, or none at all, while the server already had requests.
func differBuckets(d *PeerSample, a, b *Peer, counts []uint64) []uint64 {
	same := sameBounds(a.BucketsMsec, b.BucketsMsec)
	if len(b.Buckets) == 0 || !same && (len(a.Buckets) > 0 || a.Requests > 0) {
		return counts
	}
	from := len(counts)
	var low uint64
	for i, n := range b.Buckets {
		if same {
			n -= a.Buckets[i]
		}
		// The counters of a request are not written at one instant: a bucket may be a request ahead of its
		// neighbours or of the total. A histogram must rise to at most the total.
		n = min(max(n, low), d.Requests)
		counts = append(counts, n)
		low = n
	}
	d.Buckets = counts[from:len(counts):len(counts)]
	d.BucketsMsec = b.BucketsMsec
	return counts
}
