package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Times to live, s. NGINX asks for the servers again one second after theirs is over; the addresses never change, since
// the names spell them out.
const (
	serversTTL = 1
	addressTTL = 300
)

// zone answers questions from one State; it never changes.
type zone struct {
	name    string // with its dot
	serial  uint64
	about   string              // for people who ask
	servers map[string][]dns.RR // SRV records by label
	known   map[netip.Addr]bool // addresses that are answered
	asked   func(label string) time.Time
}

// newZone makes the answers for a state that has been validated.
func newZone(name, about string, s *State, asked func(string) time.Time) *zone {
	z := &zone{name: name, serial: s.Serial, about: about, asked: asked, servers: map[string][]dns.RR{},
		known: map[netip.Addr]bool{}}
	for upstream, u := range s.Upstreams {
		label := Label(upstream)
		owner := servicePrefix + label + "." + name
		for _, o := range u.Servers {
			ap := netip.MustParseAddrPort(o.Address)
			// An address that is left out is still answered: NGINX may be about to ask for it.
			z.known[ap.Addr()] = true
			if o.Down {
				continue
			}
			priority := uint16(1)
			if o.Backup {
				priority = 2
			}
			z.servers[label] = append(z.servers[label], &dns.SRV{
				Hdr:      dns.RR_Header{Name: owner, Rrtype: dns.TypeSRV, Class: dns.ClassINET, Ttl: serversTTL},
				Priority: priority, Weight: uint16(o.Weight), Port: ap.Port(), Target: target(ap.Addr(), name),
			})
		}
	}
	return z
}

// answer returns the reply to a question; nil where none is due. upstream is the label that was asked for, if any.
func (z *zone) answer(q *dns.Msg) (reply *dns.Msg, label string) {
	if q.Response {
		return nil, "" // two servers must not talk to each other
	}
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.Compress = true, true
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
		return m, ""
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
		return m, ""
	}
	question := q.Question[0]
	rest, ours := under(strings.ToLower(question.Name), z.name)
	if !ours || question.Qclass != dns.ClassINET {
		m.Rcode, m.Authoritative = dns.RcodeRefused, false
		return m, ""
	}
	m.Answer, label, ours = z.records(question, rest)
	if !ours {
		// NXDOMAIN would make NGINX send to nobody; a failure leaves it with what it knows.
		m.Rcode, m.Authoritative = dns.RcodeServerFailure, false
	}
	if len(m.Answer) == 0 && m.Rcode == dns.RcodeSuccess {
		m.Ns = []dns.RR{z.soa()}
	}
	return m, label
}

// records answers a name under the zone; known is false where it means nothing.
func (z *zone) records(q dns.Question, rest string) (answer []dns.RR, label string, known bool) {
	if name, ok := strings.CutPrefix(rest, servicePrefix); ok {
		servers, known := z.servers[name]
		if q.Qtype == dns.TypeSRV {
			answer = servers
		}
		return answer, name, known
	}
	if a, ok := addressOf(rest); ok && z.known[a] {
		header := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: addressTTL}
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			header.Rrtype = dns.TypeA
			answer = []dns.RR{&dns.A{Hdr: header, A: a.AsSlice()}}
		case q.Qtype == dns.TypeAAAA && !a.Is4():
			header.Rrtype = dns.TypeAAAA
			answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: a.AsSlice()}}
		}
		return answer, "", true
	}
	if name, ok := strings.CutPrefix(rest, askedPrefix); ok && z.servers[name] != nil {
		if at := z.asked(name); q.Qtype == dns.TypeTXT && !at.IsZero() {
			answer = []dns.RR{text(q.Name, fmt.Sprintf("%d", at.UnixNano()))}
		}
		return answer, "", true
	}
	if rest != "" {
		return nil, "", false
	}
	switch q.Qtype {
	case dns.TypeSOA:
		answer = []dns.RR{z.soa()}
	case dns.TypeTXT:
		answer = []dns.RR{text(q.Name, fmt.Sprintf("serial=%d", z.serial), z.about)}
	}
	return answer, "", true
}

// askedPrefix is asked by Trimtab itself, for when NGINX was last told the servers of an upstream.
const askedPrefix = "_asked."

// text is an answer for Trimtab itself; it is not kept.
func text(name string, parts ...string) dns.RR {
	return &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: parts}
}

func (z *zone) soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: z.name, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: serversTTL},
		Ns:  "localhost.", Mbox: "root.localhost.", Serial: uint32(z.serial), Refresh: 1, Retry: 1, Expire: 1,
		Minttl: serversTTL,
	}
}

// fit shortens a reply to what the asker can take: over UDP 512 bytes, or as much as the question says.
func fit(q, m *dns.Msg, udp bool) {
	size := dns.MaxMsgSize
	if udp {
		size = dns.MinMsgSize
	}
	if opt := q.IsEdns0(); opt != nil {
		if udp {
			size = min(max(dns.MinMsgSize, int(opt.UDPSize())), 4096)
		}
		m.SetEdns0(4096, false)
	}
	m.Truncate(size)
}
