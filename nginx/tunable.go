package nginx

import (
	"fmt"
	"strings"
)

// Editable says why the weights of the upstream cannot be edited; nil when those of all its servers can.
func (c *Config) Editable(upstream string) error {
	u, err := c.editable(upstream)
	if err != nil {
		return err
	}
	return u.distinct()
}

// Tunable says why the upstream cannot be tuned by what the status page shows, which is more than that it can be
// edited: every server has to be known by the address that the page prints.
func (c *Config) Tunable(upstream string) error {
	if err := c.Editable(upstream); err != nil {
		return err
	}
	u, err := c.editable(upstream)
	if err != nil {
		return err
	}
	for _, p := range u.Peers {
		if p.Service != "" {
			return p.byDNS(u)
		}
		if p.Server == "" {
			return p.hostName(u)
		}
	}
	if len(u.Sources) > 0 {
		return refuse("%s:%d: upstream %q has its servers from elsewhere (%s), not from the configuration",
			u.File.Path, u.Line, u.Name, strings.Join(u.Sources, ", "))
	}
	return nil
}

// ByName reports whether some of the upstream's servers are written as host names and nothing but that stands in the
// way of tuning it: which addresses they are is to be seen on the status page, see Resolve.
func (u *Upstream) ByName() bool {
	named := false
	for _, p := range u.Peers {
		if p.Service != "" || p.Server == "" && strings.Contains(p.Address, "$") {
			return false
		}
		named = named || p.Server == ""
	}
	return named && len(u.Sources) == 0
}

// byDNS is the refusal for an upstream whose weights in the file count for nothing.
func (p *Peer) byDNS(u *Upstream) error {
	return refuse("%s:%d: upstream %q takes its servers and weights by DNS (%s): what stands in the file does not "+
		"count; trimtab nginx dns set changes them",
		p.File.Path, p.Line, u.Name, p.Address)
}

// hostName is the refusal for a server that is written as a name: it may stand for several addresses, IPv4 and IPv6,
// each of which is a server of its own on the page and takes the weight of the line; and NGINX looks it up only when
// it loads the configuration, so that the page may show other addresses than the name has now.
func (p *Peer) hostName(u *Upstream) error {
	return refuse("%s:%d: server %s of upstream %q is a host name, which may stand for several servers on the status "+
		"page; write its address",
		p.File.Path, p.Line, p.Address, u.Name)
}

// distinct refuses an upstream with two servers of one address: which one is meant cannot be known, neither on the
// status page nor in settings.
func (u *Upstream) distinct() error {
	_, twice := u.index()
	for _, name := range sortedKeys(twice) {
		p := twice[name]
		return refuse("%s:%d: upstream %q has server %s twice: which one is meant cannot be known; keep one line and "+
			"add up the weights",
			p.File.Path, p.Line, u.Name, name)
	}
	return nil
}

// stray says what an upstream block outside of http and stream is.
func (u *Upstream) stray(c *Config) string {
	return fmt.Sprintf("upstream %q stands at %s:%d outside of http and stream: %s is a file that another one "+
		"includes there; name the main file, such as /etc/nginx/nginx.conf",
		u.Name, u.File.Path, u.Line, c.Path)
}

// Notes are what is odd about the configuration as a whole.
func (c *Config) Notes() []string {
	var notes []string
	for _, u := range c.Stray {
		notes = append(notes, u.stray(c))
	}
	for _, u := range c.Upstreams {
		if note := u.Note(); note != "" {
			notes = append(notes, note)
		}
		if note := u.ages(c.Workers); note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}
