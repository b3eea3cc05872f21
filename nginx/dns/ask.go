package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// ErrSilent is returned when nobody answers for the zone.
var ErrSilent = errors.New("no Trimtab answers DNS")

// About is what a running server says of itself.
type About struct {
	Serial uint64 // of the state that it answers from
	About  string // pid and state file
}

// askTimeout bounds one question over loopback.
const askTimeout = 2 * time.Second

// Ask asks the server at listen what it answers from.
func Ask(ctx context.Context, listen, zone string) (About, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(zone), dns.TypeTXT)
	m, err := exchange(ctx, listen, q)
	if err != nil {
		return About{}, fmt.Errorf("%w at %s: %w", ErrSilent, listen, err)
	}
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok && len(txt.Txt) == 2 {
			if n, err := strconv.ParseUint(strings.TrimPrefix(txt.Txt[0], "serial="), 10, 64); err == nil {
				return About{Serial: n, About: txt.Txt[1]}, nil
			}
		}
	}
	return About{}, fmt.Errorf("%w at %s: something else answers there (%s)", ErrSilent, listen,
		dns.RcodeToString[m.Rcode])
}

// Lookup asks as NGINX does, and returns what it is told: the servers of an upstream with their weights.
func Lookup(ctx context.Context, listen, zone, upstream string) ([]Peer, error) {
	q := new(dns.Msg)
	q.SetEdns0(dns.DefaultMsgSize, false)
	q.SetQuestion(servicePrefix+Label(upstream)+"."+dns.Fqdn(zone), dns.TypeSRV)
	m, err := exchange(ctx, listen, q)
	if err != nil {
		return nil, fmt.Errorf("ask DNS at %s: %w", listen, err)
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("ask DNS at %s for upstream %q: %s", listen, upstream, dns.RcodeToString[m.Rcode])
	}
	var out []Peer
	lowest := uint16(65535)
	for _, rr := range m.Answer {
		if srv, ok := rr.(*dns.SRV); ok {
			lowest = min(lowest, srv.Priority)
		}
	}
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok {
			continue
		}
		label, _, _ := strings.Cut(srv.Target, ".")
		a, ok := addressOf(label)
		if !ok {
			return nil, fmt.Errorf("ask DNS at %s for upstream %q: target %s is not Trimtab's", listen, upstream,
				srv.Target)
		}
		out = append(out, Peer{
			Address: net.JoinHostPort(a.String(), strconv.Itoa(int(srv.Port))), Weight: int(srv.Weight),
			Backup: srv.Priority != lowest,
		})
	}
	return out, nil
}

// LastAsked returns when NGINX was last told the servers of an upstream; zero: never since the server began.
func LastAsked(ctx context.Context, listen, zone, upstream string) (time.Time, error) {
	q := new(dns.Msg)
	q.SetQuestion(askedPrefix+Label(upstream)+"."+dns.Fqdn(zone), dns.TypeTXT)
	m, err := exchange(ctx, listen, q)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask DNS at %s: %w", listen, err)
	}
	for _, rr := range m.Answer {
		if txt, ok := rr.(*dns.TXT); ok && len(txt.Txt) == 1 {
			ns, err := strconv.ParseInt(txt.Txt[0], 10, 64)
			return time.Unix(0, ns), err
		}
	}
	return time.Time{}, nil
}

func exchange(ctx context.Context, listen string, q *dns.Msg) (*dns.Msg, error) {
	c := dns.Client{Timeout: askTimeout}
	m, _, err := c.ExchangeContext(ctx, q, listen)
	if err == nil && m.Truncated {
		c.Net = "tcp"
		m, _, err = c.ExchangeContext(ctx, q, listen)
	}
	return m, err
}

func inode(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Ino)
	}
	return 0
}
