package vts

import (
	"slices"
	"time"
)

// Decode reads one reply of /status/format/json into st, reusing the memory that st holds: a Status that is kept
// must not be decoded into again. Only what a Status has is read; the rings of recent times and every other key are
// passed over. at is when the reply was read. After an error st holds nothing of use.
func Decode(body []byte, at time.Time, st *Status) error {
	s := scanner{buf: body}
	if s.peek() != '{' {
		if len(body) == 0 {
			return reject(ReasonNotJSON, "the reply is empty")
		}
		return reject(ReasonNotJSON, "the reply is not a JSON object: it starts with %.40q", body)
	}
	upstreams := st.Upstreams[:0]
	nginx, module := st.NginxVer, st.ModuleVer
	*st = Status{At: at, NginxVer: nginx, ModuleVer: module}
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
	if seen != hasLoad|hasNow|hasConnections || st.NowMsec == 0 {
		return reject(ReasonMissing, "the reply is no status page: it lacks loadMsec, nowMsec or connections")
	}
	st.Upstreams = upstreams
	return sortUpstreams(st)
}

const (
	hasLoad = 1 << iota
	hasNow
	hasConnections
)

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
			z.FreeBytes = s.uint()
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
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, Upstream{})
		}
		u := &dst[len(dst)-1]
		u.Name = reuse(key, u.Name)
		u.Peers = s.peers(u.Peers[:0])
	}
}

func (s *scanner) peers(dst []Peer) []Peer {
	s.expect('[')
	for first := true; s.more(first); first = false {
		if len(dst) < cap(dst) {
			dst = dst[:len(dst)+1]
		} else {
			dst = append(dst, Peer{})
		}
		p := &dst[len(dst)-1]
		s.peer(p)
		if s.err != nil {
			return dst
		}
		for i := range dst[:len(dst)-1] {
			if dst[i].Server == p.Server {
				merge(&dst[i], p)
				dst = dst[:len(dst)-1]
				break
			}
		}
	}
	return dst
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

func (s *scanner) peer(p *Peer) {
	server, counts := p.Server, p.Buckets[:0]
	if s.bounds == nil {
		s.bounds = p.BucketsMsec
	}
	*p = Peer{}
	s.expect('{')
	var seen uint
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "server":
			p.Server = reuse(s.str(), server)
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
			s.responses(&p.Responses)
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
		s.err = reject(ReasonMissing, "byte %d: a server of an upstream group lacks its address, weight or a counter", s.pos)
	}
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

func (s *scanner) responses(r *Responses) {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			return
		}
		if len(key) == 3 && key[1] == 'x' && key[2] == 'x' && key[0] >= '1' && key[0] <= '5' {
			r[key[0]-'1'] = s.uint()
			continue
		}
		s.skip()
	}
}

// buckets reads a histogram of the page or of a record: rising bounds and as many counts, which rise too and are appended
// to counts. Histograms with equal bounds share them; they are never written to again.
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
