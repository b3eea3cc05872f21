package nginx

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Resolve notes, for servers written by name, which addresses of the status page are theirs: all that no other line
// names when one server is written so, else those that the name stands for as far as this machine knows. It fails when
// an address may belong to two names, or a name to none.
func (c *Config) Resolve(ctx context.Context, s Status, upstreams ...string) error {
	for _, name := range upstreams {
		u, err := c.editable(name)
		if err != nil {
			return err
		}
		if err := u.resolve(ctx, s.Upstreams[name]); err != nil {
			return err
		}
	}
	return nil
}

func (u *Upstream) resolve(ctx context.Context, page []PeerStatus) error {
	var named []*Peer
	var rest []string
	for _, p := range page {
		if p.Weight == 0 && p.Server == u.Name {
			continue // the module's stand-in when no server is live
		}
		if !slices.ContainsFunc(u.Peers, func(o *Peer) bool { return o.Server == p.Server }) && !slices.Contains(rest,
			p.Server) {
			rest = append(rest, p.Server)
		}
	}
	for _, p := range u.Peers {
		if p.Server == "" && p.Service == "" { // a service's servers are whoever its answer names
			p.Resolved = nil
			named = append(named, p)
		}
	}
	if len(named) == 1 {
		named[0].Resolved = rest
	} else {
		for _, p := range named {
			p.Resolved = among(rest, lookUp(ctx, p.Address))
		}
	}
	for _, address := range rest {
		owners := 0
		for _, p := range named {
			if slices.Contains(p.Resolved, address) {
				owners++
			}
		}
		if len(named) > 0 && owners != 1 {
			return refuse("upstream %q (%s:%d): server %s of the status page could belong to %d of its %d host "+
				"names: weights by DNS need not know",
				u.Name, u.File.Path, u.Line, address, owners, len(named))
		}
	}
	for _, p := range named {
		if len(p.Resolved) == 0 && len(page) > 0 {
			return refuse("%s:%d: the status page shows no address for server %s of upstream %q", p.File.Path, p.Line,
				p.Address, u.Name)
		}
	}
	return nil
}

// lookUp lists what a server written by name stands for, as NGINX prints it.
func lookUp(ctx context.Context, address string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(address, ":"), "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range found {
		out = append(out, printedAddrPort(netip.AddrPortFrom(a.Unmap(), uint16(n))))
	}
	return out
}

func among(list, of []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !slices.Contains(of, s) })
}
