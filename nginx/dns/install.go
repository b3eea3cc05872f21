package dns

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"trimtab/nginx"
)

// InstallOptions say what to install; the zero value means the defaults.
type InstallOptions struct {
	Listen    string   // where the server answers; empty: DefaultListen
	Zone      string   // empty: DefaultZone
	Upstreams []string // default: every http upstream that can take its weights by DNS
	// Bare installs upstreams whose method takes no backup servers too. Nobody then stands in for the second from a
	// start of NGINX until its first answer.
	Bare bool
}

// Installation is the change of a configuration after which NGINX takes weights by DNS.
type Installation struct {
	Files   []nginx.FileChange
	State   map[string]Upstream // what NGINX is to be told at first
	Names   map[string]string   // upstream: host:port that Trimtab has to resolve for it
	Skipped []string            // upstreams that stay as they are, and why
	Notes   []string            // what the operator should know
	Present []string            // upstreams that take their weights by DNS already
}

const mark = "# trimtab dns was: "

// FirstVersion is the first NGINX that takes weights by DNS.
var FirstVersion = [3]int{1, 27, 3}

// resolverLines are the lines that make an upstream ask Trimtab. Without a time to live of its own the answer's counts:
// servers are asked for every two seconds, addresses hardly ever. The time-out is also how long NGINX waits before it
// asks again after Trimtab was away.
func resolverLines(listen string, v6 bool) string {
	family := " ipv6=off"
	if v6 {
		family = ""
	}
	return fmt.Sprintf("resolver %s%s; resolver_timeout 1s;", listen, family)
}

// Plan works out an installation; it writes nothing.
func Plan(ctx context.Context, cfg *nginx.Config, opt InstallOptions) (*Installation, error) {
	if opt.Listen == "" {
		opt.Listen = DefaultListen
	}
	if _, err := loopback(opt.Listen); err != nil {
		return nil, err
	}
	zone, err := cleanZone(opt.Zone)
	if err != nil {
		return nil, err
	}
	in := &Installation{State: map[string]Upstream{}, Names: map[string]string{}}
	edits := map[*nginx.File][]nginx.Edit{}
	for _, name := range opt.Upstreams {
		if !slices.ContainsFunc(cfg.Upstreams, func(u *nginx.Upstream) bool { return u.Name == name }) {
			return nil, refuse("no upstream %q in %s", name, cfg.Path)
		}
	}
	for _, u := range cfg.Upstreams {
		named := slices.Contains(opt.Upstreams, u.Name)
		if len(opt.Upstreams) > 0 && !named {
			continue
		}
		if Installed(u, zone) {
			in.Present = append(in.Present, u.Name)
			in.Notes = append(in.Notes, Faults(cfg, u, opt.Listen, zone, nil, time.Second)...)
			continue
		}
		where := fmt.Sprintf("%s:%d: upstream %q: ", u.File.Path, u.Line, u.Name)
		why := unfit(cfg, u, opt)
		var state Upstream
		if why == "" {
			state, why = in.members(ctx, u)
		}
		if why != "" && named {
			return nil, refuse("%s%s", where, why)
		}
		if why != "" {
			in.Skipped = append(in.Skipped, where+why)
			continue
		}
		in.State[u.Name] = state
		in.edit(u, state, opt, zone, edits)
	}
	if len(in.State)+len(in.Present) == 0 {
		if len(in.Skipped) == 0 {
			in.Skipped = []string{"it has none"}
		}
		return nil, refuse("no upstream in %s can take its weights by DNS: %s", cfg.Path, strings.Join(in.Skipped,
			"; "))
	}
	in.Files = changes(cfg, edits)
	return in, nil
}

func changes(cfg *nginx.Config, edits map[*nginx.File][]nginx.Edit) []nginx.FileChange {
	var out []nginx.FileChange
	for _, f := range cfg.Files {
		if e := edits[f]; len(e) > 0 {
			slices.SortStableFunc(e, func(a, b nginx.Edit) int { return a.Offset - b.Offset })
			out = append(out, nginx.FileChange{File: f, Edits: e})
		}
	}
	return out
}

// Installed reports whether an upstream takes its weights by DNS.
func Installed(u *nginx.Upstream, zone string) bool {
	return slices.ContainsFunc(u.Peers, func(p *nginx.Peer) bool { return ours(p, u, zone) })
}

func ours(p *nginx.Peer, u *nginx.Upstream, zone string) bool {
	return p.Resolve && (p.Service == Service || p.Service+"." == servicePrefix) &&
		strings.EqualFold(strings.TrimSuffix(p.Address, "."), Host(u.Name, zone))
}

// takesBackup are the methods of NGINX's own that take backup servers.
var takesBackup = []string{"round_robin", "least_conn", "least_time"}

// unfit says why an upstream cannot take its weights by DNS.
func unfit(cfg *nginx.Config, u *nginx.Upstream, opt InstallOptions) string {
	if u.Protocol != "http" {
		return "only http upstreams are changed"
	}
	if err := cfg.Editable(u.Name); err != nil {
		return strings.TrimPrefix(err.Error(), "refused: ")
	}
	if u.Resolver != nil {
		return fmt.Sprintf("it has a resolver of its own (%s), and an upstream has only one", u.Resolver[0])
	}
	switch {
	case slices.Contains(takesBackup, u.Method):
	case u.Method == "hash" || u.Method == "ip_hash" || u.Method == "random":
		if !opt.Bare {
			return fmt.Sprintf("%s takes no backup servers: from a start of NGINX until its first answer, about a "+
				"second, there would be nobody to send to; --bare accepts that", u.Method)
		}
	default:
		return "it uses " + u.Method + ", which is not known to take servers while NGINX runs"
	}
	for _, p := range u.Peers {
		if p.Service != "" {
			return fmt.Sprintf("server %s asks for a service already", p.Address)
		}
		if !p.Backup && p.Server == "" && strings.Contains(p.Address, "$") {
			return fmt.Sprintf("server %s is a variable", p.Address)
		}
		if strings.HasPrefix(p.Address, "unix:") && !p.Backup {
			return fmt.Sprintf("server %s is a Unix socket, which has no address in DNS", p.Address)
		}
	}
	return sameParams(u)
}

// sameParams says which parameter the servers differ in that the one resolved line can give only once.
func sameParams(u *nginx.Upstream) string {
	var first map[string]string
	for _, p := range u.Peers {
		if p.Backup {
			continue
		}
		params := shared(p)
		if first == nil {
			first = params
		}
		for _, key := range []string{"max_fails", "fail_timeout", "max_conns", "slow_start", "route"} {
			if params[key] != first[key] {
				return fmt.Sprintf("its servers differ in %s, and by DNS they share one line", key)
			}
		}
	}
	return ""
}

func shared(p *nginx.Peer) map[string]string {
	out := map[string]string{}
	for _, param := range p.Params {
		if key, value, ok := strings.Cut(param, "="); ok && key != "weight" {
			out[key] = value
		}
	}
	return out
}

// members reads the servers of an upstream, resolving a host name once.
func (in *Installation) members(ctx context.Context, u *nginx.Upstream) (Upstream, string) {
	var out Upstream
	for _, p := range u.Peers {
		if p.Backup {
			continue // the operator's backups stay as they are
		}
		limit := maxWeight(u)
		if p.Weight > limit {
			return out, fmt.Sprintf("server %s has weight %d, at most %d fit", p.Address, p.Weight, limit)
		}
		if p.Server != "" {
			out.Servers = append(out.Servers, Peer{Address: p.Server, Weight: p.Weight, Base: p.Weight, Down: p.Down})
			continue
		}
		host, port, err := net.SplitHostPort(p.Address)
		if err != nil {
			host, port = p.Address, "80"
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return out, fmt.Sprintf("server %s: port %q is not a number", p.Address, port)
		}
		if other, two := in.Names[u.Name]; two && other != net.JoinHostPort(host, port) {
			return out, fmt.Sprintf("it has two servers by name, %s and %s: one can be followed", other, p.Address)
		}
		found, err := resolve(ctx, host)
		if err != nil {
			return out, fmt.Sprintf("server %s cannot be resolved: %v", p.Address, err)
		}
		in.Names[u.Name] = net.JoinHostPort(host, port)
		for _, a := range found {
			out.Servers = append(out.Servers, Peer{Address: netip.AddrPortFrom(a.Unmap(), uint16(n)).String(),
				Weight: p.Weight, Base: p.Weight, Down: p.Down})
		}
	}
	if err := out.validate(u.Name); err != nil {
		return out, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return out, ""
}

// maxWeight is the largest weight that an upstream's method takes without harm: a consistent hash allocates memory in
// proportion to the sum.
func maxWeight(u *nginx.Upstream) int {
	if u.Method == "hash" && slices.Contains(u.MethodArgs, "consistent") {
		return nginx.MaxWeight
	}
	return MaxWeight
}

// edit works out the change of one upstream.
func (in *Installation) edit(u *nginx.Upstream, state Upstream, opt InstallOptions, zone string,
	edits map[*nginx.File][]nginx.Edit) {
	var primaries []*nginx.Peer
	for _, p := range u.Peers {
		if !p.Backup {
			primaries = append(primaries, p)
		}
	}
	first := primaries[0]
	start, _ := first.Span()
	indent, _ := lead(first.File.Data, start)
	v6 := slices.ContainsFunc(state.Servers,
		func(o Peer) bool { return netip.MustParseAddrPort(o.Address).Addr().Is6() })
	lines := []string{resolverLines(opt.Listen, v6), "server " + Host(u.Name,
		zone) + " service=" + Service + " resolve" + paramsOf(first) + ";"}
	if u.Zone == "" {
		lines = append([]string{fmt.Sprintf("zone %s %dk;", u.Name, ZoneKiB(len(state.Servers)))}, lines...)
	} else if short := Small(u, len(state.Servers)); short != "" {
		in.Notes = append(in.Notes, short)
	}
	for i, p := range primaries {
		start, end := p.Span()
		old := string(p.File.Data[start:end])
		before, alone := lead(p.File.Data, start)
		text := ""
		if !alone {
			text = "\n" + before
		}
		if i == 0 {
			for _, line := range lines {
				text += line + " # trimtab dns\n" + before
			}
		}
		text += mark + oneLine(p) + "\n" + before
		if slices.Contains(takesBackup, u.Method) && !p.Resolve {
			text += strings.TrimSuffix(oneLine(p), ";") + " backup;"
		} else {
			text += "# trimtab dns: nobody stands in"
			if end < len(p.File.Data) && p.File.Data[end] != '\n' {
				text += "\n" + indent
			}
		}
		edits[p.File] = append(edits[p.File], nginx.Edit{Offset: start, Old: old, New: text})
	}
	if u.Method == "hash" || u.Method == "ip_hash" {
		in.Notes = append(in.Notes, fmt.Sprintf("upstream %q uses %s: new weights move clients to other servers",
			u.Name, u.Method))
	}
	if slices.ContainsFunc(u.Peers, func(p *nginx.Peer) bool { return p.Backup }) {
		in.Notes = append(in.Notes,
			fmt.Sprintf("upstream %q: when all its servers fail, NGINX tries the static lines beside its own backups",
				u.Name))
	}
}

func paramsOf(p *nginx.Peer) string {
	out := ""
	for _, param := range p.Params {
		if key, _, ok := strings.Cut(param, "="); ok && key != "weight" && key != "service" {
			out += " " + param
		}
	}
	return out
}

// oneLine is a server's line with single blanks, which a comment can hold.
func oneLine(p *nginx.Peer) string {
	start, end := p.Span()
	text := string(p.File.Data[start:end])
	if !strings.ContainsAny(text, "\n#") {
		return text
	}
	return strings.Join(append([]string{"server", p.Address}, p.Params...), " ") + ";"
}

// lead is the white space that a line begins with, and whether nothing else stands before the offset.
func lead(data []byte, at int) (indent string, alone bool) {
	from := bytes.LastIndexByte(data[:at], '\n') + 1
	line := string(data[from:at])
	indent = line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	return indent, indent == line
}

// ZoneKiB is how large a zone for so many servers has to be: NGINX keeps about 1.5 KiB for each, the static lines that
// stand in as well, and those that are just being replaced, for as long as requests to them are under way.
func ZoneKiB(servers int) int { return 64 * ((32 + 5*servers + 63) / 64) }

// kib reads a size such as 128k or 1m; 0 where there is none.
func kib(size string) int {
	n, err := strconv.Atoi(strings.TrimRight(size, "kKmM"))
	if err != nil {
		return 0
	}
	switch strings.ToLower(strings.TrimLeft(size, "0123456789")) {
	case "m":
		return n << 10
	case "k":
		return n
	}
	return n >> 10
}
