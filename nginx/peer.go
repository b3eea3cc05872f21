package nginx

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// readPeer reads a server line of u from the words that l has just read.
func readPeer(u *Upstream, f *File, l *lexer) (*Peer, error) {
	p := &Peer{
		Address: l.args[1].value(f.Data), Weight: 1, File: f, Line: l.args[0].line, address: l.args[1],
		start: l.args[0].start, end: l.pos - 1,
	}
	if l.args[0].quoted {
		p.start--
	}
	p.Server = printedAddress(p.Address, u.Protocol)
	for _, t := range l.args[2:] {
		raw := f.Data[t.start:t.end]
		p.Params = append(p.Params, string(raw))
		switch {
		case strings.HasPrefix(string(raw), "weight="):
			n, err := strconv.Atoi(string(raw[len("weight="):]))
			if err != nil || n < 1 {
				return nil, l.fail(t.line, "server %s: invalid parameter %q", p.Address, raw)
			}
			// Of several, NGINX takes the last.
			p.Weight, p.weight, p.hasWeight = n, t, true
		case t.is(f.Data, "down"):
			p.Down, p.down = true, t
		case t.is(f.Data, "backup"):
			p.Backup = true
		case t.is(f.Data, "resolve"):
			p.Resolve = true
		case strings.HasPrefix(string(raw), "service="):
			p.Service = string(raw[len("service="):])
		}
	}
	return p, nil
}

// printedAddress is how NGINX prints the address of a peer written as address, or empty when address holds a host
// name. A missing port is 80 in http; stream has no default.
func printedAddress(address, protocol string) string {
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return printedAddrPort(ap)
	}
	if protocol != "http" {
		return ""
	}
	host := strings.TrimSuffix(address, ":")
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is6() != strings.HasPrefix(address, "[") {
		return ""
	}
	return printedAddrPort(netip.AddrPortFrom(a, 80))
}

// names reports whether key means the peer: as written or as printed.
func (p *Peer) names(key string) bool {
	return key == p.Address || p.Server != "" && key == p.Server || slices.Contains(p.Resolved, key)
}

// Label is the printed address, or as written when that is not known.
func (p *Peer) Label() string {
	if p.Server != "" {
		return p.Server
	}
	return p.Address
}

// Shown is how the status page shows the peer: by its only address where it is written by name and Resolve has found
// that.
func (p *Peer) Shown() string {
	if p.Server == "" && len(p.Resolved) == 1 {
		return p.Resolved[0]
	}
	return p.Label()
}
