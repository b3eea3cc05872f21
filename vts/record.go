package vts

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// AppendRecord appends st as one line of stored statistics, newline included: counters as read, keys in snake case with
// their units.
func AppendRecord(dst []byte, st *Status) []byte {
	dst = append(dst, `{"at":"`...)
	dst = st.At.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","took_ms":`...)
	dst = strconv.AppendFloat(dst, float64(st.Took)/float64(time.Millisecond), 'f', -1, 64)
	dst = appendInt(dst, `,"now_ms":`, st.NowMsec)
	dst = appendInt(dst, `,"load_ms":`, st.LoadMsec)
	dst = append(dst, `,"nginx":`...)
	dst = appendString(dst, st.NginxVer)
	dst = append(dst, `,"module":`...)
	dst = appendString(dst, st.ModuleVer)
	c := &st.Connections
	dst = appendUint(dst, `,"connections":{"active":`, c.Active)
	dst = appendUint(dst, `,"reading":`, c.Reading)
	dst = appendUint(dst, `,"writing":`, c.Writing)
	dst = appendUint(dst, `,"waiting":`, c.Waiting)
	dst = appendUint(dst, `,"accepted":`, c.Accepted)
	dst = appendUint(dst, `,"handled":`, c.Handled)
	dst = appendUint(dst, `,"requests":`, c.Requests)
	z := &st.Zone
	dst = appendUint(dst, `},"zone":{"max_bytes":`, z.MaxBytes)
	dst = appendUint(dst, `,"used_bytes":`, z.UsedBytes)
	if !z.FreeUnknown {
		dst = appendUint(dst, `,"free_bytes":`, z.FreeBytes)
	}
	dst = appendUint(dst, `,"dropped":`, z.Dropped)
	dst = append(dst, `},"upstreams":{`...)
	for i := range st.Upstreams {
		if i > 0 {
			dst = append(dst, ',')
		}
		u := &st.Upstreams[i]
		dst = appendString(dst, u.Name)
		dst = append(dst, `:[`...)
		for j := range u.Peers {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = appendPeer(dst, &u.Peers[j])
		}
		dst = append(dst, ']')
	}
	dst = append(dst, '}')
	if len(st.Hosts) > 0 {
		dst = appendHosts(dst, st.Hosts)
	}
	return append(dst, "}\n"...)
}

func appendPeer(dst []byte, p *Peer) []byte {
	dst = append(dst, `{"server":`...)
	dst = appendString(dst, p.Server)
	dst = appendInt(dst, `,"weight":`, int64(p.Weight))
	dst = appendInt(dst, `,"max_fails":`, int64(p.MaxFails))
	dst = appendInt(dst, `,"fail_timeout_s":`, int64(p.FailTimeout))
	dst = append(dst, `,"down":`...)
	dst = strconv.AppendBool(dst, p.Down)
	dst = append(dst, `,"backup":`...)
	dst = strconv.AppendBool(dst, p.Backup)
	dst = appendUint(dst, `,"requests":`, p.Requests)
	dst = appendUint(dst, `,"in_bytes":`, p.InBytes)
	dst = appendUint(dst, `,"out_bytes":`, p.OutBytes)
	dst = appendUint(dst, `,"status":{"1xx":`, p.Responses[0])
	dst = appendUint(dst, `,"2xx":`, p.Responses[1])
	dst = appendUint(dst, `,"3xx":`, p.Responses[2])
	dst = appendUint(dst, `,"4xx":`, p.Responses[3])
	dst = appendUint(dst, `,"5xx":`, p.Responses[4])
	dst = appendUint(dst, `},"request_ms":`, p.RequestMsec)
	dst = appendUint(dst, `,"response_ms":`, p.ResponseMsec)
	dst = append(dst, `,"buckets":{"le_ms":[`...)
	for i, b := range p.BucketsMsec {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, b, 'f', -1, 64)
	}
	dst = append(dst, `],"counts":[`...)
	for i, n := range p.Buckets {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, n, 10)
	}
	return append(dst, "]}}"...)
}

func appendUint(dst []byte, key string, n uint64) []byte {
	return strconv.AppendUint(append(dst, key...), n, 10)
}

func appendInt(dst []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(dst, key...), n, 10)
}

// appendString appends s as a JSON string. Addresses and group names seldom need an escape.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// DecodeRecord reads one line that AppendRecord wrote.
func DecodeRecord(line []byte, st *Status) error {
	s := scanner{buf: line}
	if s.peek() != '{' {
		return reject(ReasonNotJSON, "the line is no JSON object")
	}
	*st = Status{Zone: Zone{FreeUnknown: true}}
	s.pos++
	seenNow := false
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "at":
			at, err := time.Parse(time.RFC3339Nano, string(s.str()))
			if err != nil {
				s.fail("at: %w", err)
			}
			st.At = at
		case "took_ms":
			st.Took = time.Duration(s.float()*float64(time.Millisecond) + 0.5)
		case "now_ms":
			st.NowMsec = s.int()
			seenNow = true
		case "load_ms":
			st.LoadMsec = s.int()
		case "nginx":
			st.NginxVer = string(s.str())
		case "module":
			st.ModuleVer = string(s.str())
		case "connections":
			s.connections(&st.Connections)
		case "zone":
			s.recordZone(&st.Zone)
		case "upstreams":
			s.recordUpstreams(st)
		case "hosts":
			st.Hosts = s.recordHosts()
		default:
			s.skip()
		}
	}
	if s.err == nil && (s.peek() != 0 || s.pos < len(s.buf)) {
		s.unexpected("the end of the line")
	}
	if s.err == nil && !seenNow {
		s.err = reject(ReasonMissing, "the line is no record of a status: it lacks now_ms")
	}
	if s.err != nil {
		return s.err
	}
	return sortUpstreams(st)
}

// sortUpstreams orders the groups by name and refuses a name that stands twice.
func sortUpstreams(st *Status) error {
	slices.SortStableFunc(st.Upstreams, func(a, b Upstream) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(st.Upstreams); i++ {
		if st.Upstreams[i].Name == st.Upstreams[i-1].Name {
			return reject(ReasonDuplicate, "upstream group %q stands twice", st.Upstreams[i].Name)
		}
	}
	return nil
}

func (s *scanner) recordZone(z *Zone) {
	s.expect('{')
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			return
		}
		switch string(key) {
		case "max_bytes":
			z.MaxBytes = s.uint()
		case "used_bytes":
			z.UsedBytes = s.uint()
		case "free_bytes":
			z.FreeBytes, z.FreeUnknown = s.uint(), false
		case "dropped":
			z.Dropped = s.uint()
		default:
			s.skip()
		}
	}
}

func (s *scanner) recordUpstreams(st *Status) {
	s.expect('{')
	for first := true; ; first = false {
		name, ok := s.key(first)
		if !ok {
			return
		}
		u := Upstream{Name: string(name)}
		s.expect('[')
		for first := true; s.more(first); first = false {
			var p Peer
			s.recordPeer(&p)
			if s.err != nil {
				return
			}
			if !p.gone(u.Name) {
				u.Peers = append(u.Peers, p)
			}
		}
		st.Upstreams = append(st.Upstreams, u)
	}
}

func (s *scanner) recordPeer(p *Peer) {
	s.expect('{')
	var seen uint
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "server":
			p.Server = string(s.str())
			seen |= hasServer
		case "weight":
			p.Weight = s.small()
			seen |= hasWeight
		case "max_fails":
			p.MaxFails = s.small()
		case "fail_timeout_s":
			p.FailTimeout = s.small()
		case "down":
			p.Down = s.flag()
		case "backup":
			p.Backup = s.flag()
		case "requests":
			p.Requests = s.uint()
			seen |= hasRequests
		case "in_bytes":
			p.InBytes = s.uint()
			seen |= hasIn
		case "out_bytes":
			p.OutBytes = s.uint()
			seen |= hasOut
		case "status":
			_ = s.responses(&p.Responses) // a record has all classes
			seen |= hasResponses
		case "request_ms":
			p.RequestMsec = s.uint()
			seen |= hasRequestMsec
		case "response_ms":
			p.ResponseMsec = s.uint()
			seen |= hasResponseMsec
		case "buckets":
			p.BucketsMsec, p.Buckets = s.buckets(nil)
		default:
			s.skip()
		}
	}
	if s.err == nil && seen != hasPeer {
		s.err = reject(ReasonMissing, "byte %d: a server lacks its address, weight or a counter", s.pos)
	}
}
