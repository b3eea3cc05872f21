package vts

import "time"

// seedInterval is the time between two lines of the older format, which carries no times at all; its recorder asked
// once a second.
const seedInterval = time.Second

// decodeSeed reads one line of the older statistics format: zone → server → counters. It has neither a clock nor
// connections nor status classes; line, counted from 1, stands in for the clock at one line per second. Requests that
// were neither 2xx nor 3xx are taken for 5xx, the rest for 2xx.
func decodeSeed(text []byte, line int, st *Status) error {
	s := scanner{buf: text}
	if s.peek() != '{' {
		return reject(ReasonNotJSON, "the line is no JSON object")
	}
	*st = Status{NowMsec: int64(line) * seedInterval.Milliseconds()}
	s.pos++
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		if s.peek() != '{' {
			s.skip()
			continue
		}
		u := Upstream{Name: string(key)}
		s.pos++
		for first := true; ; first = false {
			server, ok := s.key(first)
			if !ok {
				break
			}
			p := Peer{Server: string(server)}
			s.seedPeer(&p)
			if s.err != nil {
				break
			}
			u.Peers = append(u.Peers, p)
		}
		st.Upstreams = append(st.Upstreams, u)
	}
	if s.err == nil && (s.peek() != 0 || s.pos < len(s.buf)) {
		s.unexpected("the end of the line")
	}
	if s.err != nil {
		return s.err
	}
	return sortUpstreams(st)
}

func (s *scanner) seedPeer(p *Peer) {
	s.expect('{')
	var bad uint64
	var seen uint
	for first := true; ; first = false {
		key, ok := s.key(first)
		if !ok {
			break
		}
		switch string(key) {
		case "requestCounter":
			p.Requests = s.uint()
			seen |= hasRequests
		case "inBytes":
			p.InBytes = s.uint()
			seen |= hasIn
		case "outBytes":
			p.OutBytes = s.uint()
			seen |= hasOut
		case "Non 2xx/3xx responses":
			bad = s.uint()
		case "requestMsecCounter":
			p.RequestMsec = s.uint()
			p.ResponseMsec = p.RequestMsec
			seen |= hasRequestMsec
		case "weight":
			p.Weight = s.small()
			seen |= hasWeight
		case "maxFails":
			p.MaxFails = s.small()
		case "failTimeout":
			p.FailTimeout = s.small()
		case "backup":
			p.Backup = s.flag()
		case "down":
			p.Down = s.flag()
		default:
			s.skip()
		}
	}
	if s.err != nil {
		return
	}
	if seen != hasRequests|hasIn|hasOut|hasRequestMsec|hasWeight {
		s.err = reject(ReasonMissing, "byte %d: server %s lacks its weight or a counter", s.pos, p.Server)
		return
	}
	if bad > p.Requests {
		s.fail("server %s has %d failed of %d requests", p.Server, bad, p.Requests)
		return
	}
	p.Responses[1], p.Responses[4] = p.Requests-bad, bad
}
