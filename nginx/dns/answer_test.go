package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func testZone(servers int) *zone {
	st := &State{Format: 1, Serial: 7, Upstreams: map[string]Upstream{"app": {},
		"Web.Front": {Servers: []Peer{{Address: "[2001:db8::1]:8080", Weight: 65535, Base: 1}}}}}
	u := Upstream{}
	for i := range servers {
		u.Servers = append(u.Servers, Peer{Address: fmt.Sprintf("10.0.%d.%d:80", i/250, 1+i%250), Weight: 1 + i,
			Base: 1})
	}
	u.Servers = append(u.Servers, Peer{Address: "10.1.0.1:80", Weight: 5, Base: 5, Down: true},
		Peer{Address: "10.1.0.2:81", Weight: 6, Base: 6, Backup: true})
	st.Upstreams["app"] = u
	return newZone("trimtab.", "pid=1", st, func(string) time.Time { return time.Unix(3, 4) })
}

func TestAnswers(t *testing.T) {
	z := testZone(1)
	for _, c := range []struct {
		name, question string
		kind           uint16
		rcode          int
		answer         string
	}{
		{"the servers of an upstream, without those left out", "_http._tcp.app.trimtab.", dns.TypeSRV,
			dns.RcodeSuccess, "1 1 80 a-10-0-0-1.trimtab. | 2 6 81 a-10-1-0-2.trimtab."},
		{"capitals are the same name", "_HTTP._tcp.App.TrimTab.", dns.TypeSRV, dns.RcodeSuccess,
			"1 1 80 a-10-0-0-1.trimtab. | 2 6 81 a-10-1-0-2.trimtab."},
		{"an upstream whose name DNS has no room for", "_http._tcp." + Label("Web.Front") + ".trimtab.", dns.TypeSRV,
			dns.RcodeSuccess, "1 65535 8080 s-20010db8000000000000000000000001.trimtab."},
		{"the address of a server", "a-10-0-0-1.trimtab.", dns.TypeA, dns.RcodeSuccess, "10.0.0.1"},
		{"an address that is left out is known still", "a-10-1-0-1.trimtab.", dns.TypeA, dns.RcodeSuccess, "10.1.0.1"},
		{"an IPv6 address", "s-20010db8000000000000000000000001.trimtab.", dns.TypeAAAA, dns.RcodeSuccess,
			"2001:db8::1"},
		{"an IPv4 name has no IPv6 address, which is no failure", "a-10-0-0-1.trimtab.", dns.TypeAAAA,
			dns.RcodeSuccess, ""},
		{"an address that belongs to nobody", "a-10-9-9-9.trimtab.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"an upstream that is not known: never NXDOMAIN, which would empty it", "_http._tcp.other.trimtab.",
			dns.TypeSRV, dns.RcodeServerFailure, ""},
		{"another service", "_https._tcp.app.trimtab.", dns.TypeSRV, dns.RcodeServerFailure, ""},
		{"names outside the zone are refused", "example.com.", dns.TypeA, dns.RcodeRefused, ""},
		{"names that end like the zone too", "nottrimtab.", dns.TypeA, dns.RcodeRefused, ""},
		{"the root", ".", dns.TypeNS, dns.RcodeRefused, ""},
		{"who answers", "trimtab.", dns.TypeTXT, dns.RcodeSuccess, `"serial=7" "pid=1"`},
		{"when NGINX asked last", "_asked.app.trimtab.", dns.TypeTXT, dns.RcodeSuccess, `"3000000004"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := new(dns.Msg)
			q.SetQuestion(c.question, c.kind)
			m, _ := z.answer(q)
			var got []string
			for _, rr := range m.Answer {
				got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			if m.Rcode != c.rcode || strings.Join(got, " | ") != c.answer {
				t.Errorf("got %s %q, want %s %q", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[c.rcode], c.answer)
			}
			if _, err := m.Pack(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnswersRefuseOddQuestions(t *testing.T) {
	z := testZone(1)
	for _, c := range []struct {
		name  string
		odd   func(*dns.Msg)
		rcode int
	}{
		{"another class", func(q *dns.Msg) { q.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		{"an update", func(q *dns.Msg) { q.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"two questions", func(q *dns.Msg) { q.Question = append(q.Question, q.Question[0]) }, dns.RcodeFormatError},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := new(dns.Msg)
			q.SetQuestion("_http._tcp.app.trimtab.", dns.TypeSRV)
			c.odd(q)
			if m, _ := z.answer(q); m.Rcode != c.rcode || len(m.Answer) != 0 {
				t.Errorf("got %s with %d answers, want %s", dns.RcodeToString[m.Rcode], len(m.Answer),
					dns.RcodeToString[c.rcode])
			}
		})
	}
	t.Run("a reply is not answered", func(t *testing.T) {
		q := new(dns.Msg)
		q.SetQuestion("_http._tcp.app.trimtab.", dns.TypeSRV)
		q.Response = true
		if m, _ := z.answer(q); m != nil {
			t.Errorf("got %v, want silence", m)
		}
	})
}

// NGINX takes 512 bytes over UDP and asks again over TCP when there are more.
func TestLongAnswersAreCutOverUDP(t *testing.T) {
	q := new(dns.Msg)
	q.SetQuestion("_http._tcp.app.trimtab.", dns.TypeSRV)
	for _, c := range []struct {
		name      string
		servers   int
		udp       bool
		truncated bool
		answers   int
	}{
		{"few servers fit", 5, true, false, 6},
		{"many do not", 500, true, true, -1},
		{"over TCP they do", 1000, false, false, 1001},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := testZone(c.servers).answer(q)
			fit(q, m, c.udp)
			packed, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if m.Truncated != c.truncated || c.answers >= 0 && len(m.Answer) != c.answers || c.udp &&
				len(packed) > 512 {
				t.Errorf("got %d answers in %d bytes, truncated %v; want %d, %v", len(m.Answer), len(packed),
					m.Truncated, c.answers, c.truncated)
			}
		})
	}
}

func TestNamesSpellOutWhatTheyMean(t *testing.T) {
	for _, c := range []struct{ name, upstream, label string }{
		{"a plain name stays", "my_app-1", "my_app-1"},
		{"capitals would be another name's", "App", "u--"},
		{"dots would be labels", "a.b", "u--"},
		{"blanks", "a b", "u--"},
		{"63 characters fit", strings.Repeat("a", 63), strings.Repeat("a", 63)},
		{"64 do not", strings.Repeat("a", 64), "u--"},
		{"a name like those that are made", "u--x", "u--"},
		{"a hyphen at the end", "a-", "u--"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Label(c.upstream)
			if !strings.HasPrefix(got, c.label) || len(got) > 63 || c.label != "u--" && got != c.label {
				t.Errorf("got %q, want %q", got, c.label)
			}
			if c.label == "u--" && got == c.upstream {
				t.Errorf("got %q unchanged", got)
			}
		})
	}
	for _, address := range []string{"10.0.0.1", "255.255.255.255", "::1", "2001:db8::ff", "::ffff:10.0.0.1"} {
		a := netip.MustParseAddr(address)
		label, _, _ := strings.Cut(target(a, "trimtab."), ".")
		if got, ok := addressOf(label); !ok || got != a {
			t.Errorf("%s: got %v, %v back from %q", address, got, ok, label)
		}
	}
}

// FuzzQuestion feeds the server whatever may arrive.
func FuzzQuestion(f *testing.F) {
	for _, name := range []string{"_http._tcp.app.trimtab.", "a-10-0-0-1.trimtab.", "example.com.",
		strings.Repeat("a.", 100) + "trimtab."} {
		q := new(dns.Msg)
		q.SetQuestion(name, dns.TypeSRV)
		if packed, err := q.Pack(); err == nil {
			f.Add(packed, true)
		}
		q.SetEdns0(65535, true)
		if packed, err := q.Pack(); err == nil {
			f.Add(packed, false)
		}
	}
	f.Add([]byte{0, 1, 2}, true)
	z := testZone(300)
	f.Fuzz(func(t *testing.T, raw []byte, udp bool) {
		q := new(dns.Msg)
		if q.Unpack(raw) != nil {
			return
		}
		m, _ := z.answer(q)
		if m == nil {
			return
		}
		fit(q, m, udp)
		packed, err := m.Pack()
		if err != nil {
			return // the question itself cannot be repeated
		}
		if m.Rcode == dns.RcodeNameError {
			t.Error("NXDOMAIN empties an upstream")
		}
		if udp && len(packed) > 4096 {
			t.Errorf("%d bytes over UDP", len(packed))
		}
		if len(m.Answer) > 0 && !strings.HasSuffix(strings.ToLower(q.Question[0].Name), "trimtab.") {
			t.Errorf("answered %s", q.Question[0].Name)
		}
	})
}
