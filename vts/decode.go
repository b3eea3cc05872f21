package vts

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Decode reads one reply of /status/format/json into st, reusing the memory that st holds: a Status that is kept must
// not be decoded into again. Only what a Status has is read; the rings of recent times and every other key are passed
// over, servers outside of upstream groups among them (::nogroups: one row per target of a proxy whose targets come
// from variables), and so are rows that are no server of a configuration: of weight 0, which the module keeps for
// servers that were removed or that another balancer chose, or with a name longer than NGINX reads. at is when the
// reply was read. After an error st holds nothing of use.
//
// It takes time and memory in proportion to the body.
func Decode(body []byte, at time.Time, st *Status) error {
	return DecodeContext(context.Background(), body, at, st)
}

// DecodeContext is Decode that fails with ReasonTimeout soon after ctx has ended.
func DecodeContext(ctx context.Context, body []byte, at time.Time, st *Status) error {
	s := scanner{buf: body, ctx: ctx}
	if s.peek() != '{' {
		if len(body) == 0 {
			return reject(ReasonNotJSON, "the reply is empty")
		}
		return reject(ReasonNotJSON, "the reply is not a JSON object: it starts with %.40q; "+
			"is the address that of …/format/json?", body[:min(len(body), 40)])
	}
	upstreams := st.Upstreams[:0]
	nginx, module := st.NginxVer, st.ModuleVer
	*st = Status{At: at, NginxVer: nginx, ModuleVer: module, Zone: Zone{FreeUnknown: true}}
	s.pos++
	var seen uint
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "loadMsec":
			st.LoadMsec = s.int()
			seen |= hasLoad
		case "nowMsec":
			st.NowMsec = s.int()
			seen |= hasNow
		case "nginxVersion":
			st.NginxVer = reuse(s.str(), nginx)
		case "moduleVersion":
			st.ModuleVer = reuse(s.str(), module)
		case "connections":
			s.connections(&st.Connections)
			seen |= hasConnections
		case "sharedZones":
			s.zone(&st.Zone)
		case "upstreamZones":
			upstreams = s.upstreams(upstreams)
			seen |= hasUpstreams
		case "streamServerZones", "streamUpstreamZones":
			seen |= hasStream
			s.skip()
		default:
			s.skip()
		}
	}
	if s.err == nil && s.peek() != 0 {
		s.unexpected("the end of the reply")
	}
	if s.err == nil && s.pos < len(s.buf) {
		s.unexpected("the end of the reply")
	}
	if s.err != nil {
		return s.err
	}
	if seen&hasPage != hasPage || st.NowMsec == 0 {
		return reject(ReasonMissing, "no status page of nginx-module-vts: it lacks loadMsec, nowMsec or connections")
	}
	st.keys = seen
	st.Upstreams = upstreams
	return sortUpstreams(st)
}

const (
	hasLoad = 1 << iota
	hasNow
	hasConnections
	hasUpstreams
	hasStream
	hasPage = hasLoad | hasNow | hasConnections
)

// Shows fails with ReasonNoUpstream, and says why that may be, when a page that was decoded shows no upstream at all:
// there is nothing to be learned from it, now or later. A client refuses such a page; in a file it is only a moment
// without any.
func (st *Status) Shows() error {
	switch {
	case len(st.Upstreams) > 0 || st.CountsOnly():
		return nil
	case st.keys&hasStream != 0:
		return reject(ReasonNoUpstream, "the page shows no upstream of http: it is that of nginx-module-sts (stream), "+
			"where that of nginx-module-vts is needed")
	case st.keys&hasUpstreams != 0:
		return reject(ReasonNoUpstream, "the page shows no upstream: NGINX's configuration has no upstream "+
			"block in http")
	}
	return reject(ReasonNoUpstream, "the page shows no upstream: NGINX's configuration has none in http, or it has "+
		"vhost_traffic_status_stats_by_upstream off (it must be on, which is the default)")
}

// reuse returns b as a string: old when it says the same, so that a steady page costs no allocation.
func reuse(b []byte, old string) string {
	if string(b) == old {
		return old
	}
	return string(b)
}

func (s *scanner) connections(c *Connections) {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			return
		}
		switch string(key) {
		case "active":
			c.Active = s.uint()
		case "reading":
			c.Reading = s.uint()
		case "writing":
			c.Writing = s.uint()
		case "waiting":
			c.Waiting = s.uint()
		case "accepted":
			c.Accepted = s.uint()
		case "handled":
			c.Handled = s.uint()
		case "requests":
			c.Requests = s.uint()
		default:
			s.skip()
		}
	}
}

func (s *scanner) zone(z *Zone) {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			return
		}
		switch string(key) {
		case "maxSize":
			z.MaxBytes = s.uint()
		case "usedSize":
			z.UsedBytes = s.uint()
		case "freeSize":
			z.FreeBytes, z.FreeUnknown = s.uint(), false
		case "dropped":
			z.Dropped = s.uint()
		default:
			s.skip()
		}
	}
}

// upstreams reads the groups into dst, which is empty but may hold memory from an earlier page.
func (s *scanner) upstreams(dst []Upstream) []Upstream {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			return dst
		}
		if len(key) > maxName {
			s.skip()
			continue
		}
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, Upstream{})
		}
		u := &dst[len(dst)-1]
		u.Name = reuse(key, u.Name)
		u.Peers = s.peers(u.Name, u.Peers[:0])
		if u.Name == noGroups && len(u.Peers) == 0 {
			dst = dst[:len(dst)-1] // only a shim that reads no memory says there what may be a server's of a group
		}
	}
}

// maxName is the length of the longest name that can be meant: NGINX's configuration has no longer word.
const maxName = 4096

// fewPeers is up to how many servers of a group each is compared with all before it, which takes no memory.
const fewPeers = 128

func (s *scanner) peers(group string, dst []Peer) []Peer {
	var index map[string]int // of dst, once there are more than fewPeers
	s.expect('[')
	for first := true; s.more(first); first = false {
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, Peer{})
		}
		last := len(dst) - 1
		p := &dst[last]
		s.peer(group, p)
		if s.err != nil {
			return dst
		}
		if p.gone(group) {
			dst = dst[:last]
			continue
		}
		if last == fewPeers {
			index = make(map[string]int, 2*fewPeers)
			for i := range dst[:last] {
				index[dst[i].Server] = i
			}
		}
		same := -1
		if index == nil {
			same = slices.IndexFunc(dst[:last], func(other Peer) bool { return other.Server == p.Server })
		} else if i, ok := index[p.Server]; ok {
			same = i
		} else {
			index[p.Server] = last
		}
		if same >= 0 {
			merge(&dst[same], p)
			dst = dst[:last]
		}
	}
	return dst
}

// gone reports whether the row is of no server of the configuration: NGINX gives every server a weight of 1 or more,
// but the module goes on listing servers that were removed, and lists those that another balancer chose, with weight
// 0. Its group's stand-in, also of weight 0, is kept, and so is a server whose weight the page does not know.
func (p *Peer) gone(group string) bool {
	return p.Server == "" || p.Weight == 0 && !p.NoWeight && !p.Pseudo(group)
}

// merge adds to p another line of the same group with the same address. The page has one set of counters for both and
// repeats it on every line; their share of the requests is the sum of the weights of those that are not down.
func merge(p, other *Peer) {
	switch {
	case p.Down == other.Down && p.Backup != other.Backup:
		// The primary line counts: the backup stands in for the second until a name is resolved.
		if p.Backup {
			p.Weight, p.Backup = other.Weight, false
		}
	case p.Down == other.Down:
		p.Weight += other.Weight
	case p.Down:
		p.Weight, p.Down, p.Backup = other.Weight, false, other.Backup
	}
}

const (
	hasServer = 1 << iota
	hasRequests
	hasIn
	hasOut
	hasResponses
	hasRequestMsec
	hasResponseMsec
	hasWeight
	hasPeer = 1<<iota - 1
)

func (s *scanner) peer(group string, p *Peer) {
	server, counts := p.Server, p.Buckets[:0]
	if s.bounds == nil {
		s.bounds = p.BucketsMsec
	}
	*p = Peer{}
	s.expect('{')
	var seen, classes uint
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "server":
			if name := s.str(); len(name) <= maxName {
				p.Server = reuse(name, server)
			}
			seen |= hasServer
		case "requestCounter":
			p.Requests = s.uint()
			seen |= hasRequests
		case "inBytes":
			p.InBytes = s.uint()
			seen |= hasIn
		case "outBytes":
			p.OutBytes = s.uint()
			seen |= hasOut
		case "responses":
			classes = s.responses(&p.Responses)
			seen |= hasResponses
		case "requestMsecCounter":
			p.RequestMsec = s.uint()
			seen |= hasRequestMsec
		case "responseMsecCounter":
			p.ResponseMsec = s.uint()
			seen |= hasResponseMsec
		case "responseBuckets":
			p.BucketsMsec, counts = s.buckets(counts)
		case "weight":
			if p.NoWeight = s.null(); !p.NoWeight {
				p.Weight = s.small()
			}
			seen |= hasWeight
		case "maxFails":
			if !s.null() {
				p.MaxFails = s.small()
			}
		case "failTimeout":
			if !s.null() {
				p.FailTimeout = s.small()
			}
		case "backup":
			p.Backup = !s.null() && s.flag()
		case "down":
			p.Down = !s.null() && s.flag()
		default:
			s.skip()
		}
	}
	p.Buckets = counts
	if s.err == nil && seen != hasPeer {
		s.err = lacks(group, p.Server, seen)
	}
	if s.err == nil && !p.Responses.complete(classes, p.Requests) {
		s.err = reject(ReasonMissing, "server %.200q of upstream %.200q has responses of unknown classes", p.Server,
			group)
	}
}

// complete reports whether classes that are absent, those not in the mask, are known to be 0: when the others account
// for all requests.
func (r Responses) complete(mask uint, requests uint64) bool {
	if mask == 1<<len(r)-1 {
		return true
	}
	var sum uint64
	for _, n := range r {
		sum += n
	}
	return sum >= requests
}

// lacks is the error for a server without something that is needed; seen is what it has.
func lacks(group, server string, seen uint) error {
	var missing []string
	for i, key := range [...]string{"server", "requestCounter", "inBytes", "outBytes", "responses",
		"requestMsecCounter", "responseMsecCounter", "weight"} {
		if seen&(1<<i) == 0 {
			missing = append(missing, key)
		}
	}
	remedy := ""
	if seen&(hasRequestMsec|hasResponseMsec) != hasRequestMsec|hasResponseMsec {
		remedy = "; nginx-module-vts has it from 0.1.16 on: renew the module"
	}
	return reject(ReasonMissing, "server %.200q of upstream %.200q lacks %s%s", server, group,
		strings.Join(missing, ", "), remedy)
}

// small reads a number of the configuration, such as a weight.
func (s *scanner) small() int {
	n := s.uint()
	if n > 1<<31-1 {
		s.fail("%d is too large for a setting", n)
		return 0
	}
	return int(n)
}

// responses reads the counts by class and returns a mask of those that are there.
func (s *scanner) responses(r *Responses) (seen uint) {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		if len(key) == 3 && key[1] == 'x' && key[2] == 'x' && key[0] >= '1' && key[0] <= '5' {
			r[key[0]-'1'] = s.uint()
			seen |= 1 << (key[0] - '1')
			continue
		}
		s.skip()
	}
	return seen
}

// buckets reads a histogram of the page or of a record: rising bounds and as many counts, which rise too and are
// appended to counts. Histograms with equal bounds share them; they are never written to again.
func (s *scanner) buckets(counts []uint64) ([]float64, []uint64) {
	bounds := s.scratch[:0]
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "msecs", "le_ms":
			s.expect('[')
			for first := true; s.more(first); first = false {
				bounds = append(bounds, s.float())
			}
		case "counters", "counts":
			if cap(counts) == 0 && len(bounds) > 0 {
				counts = make([]uint64, 0, len(bounds))
			}
			s.expect('[')
			for first := true; s.more(first); first = false {
				counts = append(counts, s.uint())
			}
		default:
			s.skip()
		}
	}
	s.scratch = bounds
	if s.err == nil && len(bounds) != len(counts) {
		s.fail("a histogram of %d bounds and %d counts", len(bounds), len(counts))
	}
	for i := 1; i < len(bounds) && s.err == nil; i++ {
		if bounds[i] <= bounds[i-1] || counts[i] < counts[i-1] {
			s.fail("a histogram that does not rise at %g ms", bounds[i])
		}
	}
	if s.err != nil || len(bounds) == 0 {
		return nil, counts[:0]
	}
	if !sameBounds(bounds, s.bounds) {
		s.bounds = slices.Clone(bounds)
	}
	return s.bounds, counts
}
