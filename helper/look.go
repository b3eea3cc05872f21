package helper

import (
	"strconv"

	"trimtab/nginx"
)

// Look is what may be known of NGINX's configuration: its upstreams, and nothing else of the files.
type Look struct {
	Upstreams []Upstream `json:"upstreams"`
}

// Upstream is an upstream block.
type Upstream struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"` // http or stream
	Method   string `json:"method"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Servers  []Line `json:"servers"`
	Zone     string `json:"zone,omitempty"`
	ZoneSize string `json:"zone_size,omitempty"` // as written
	// Resolver are the words of the resolver directive that counts for it: its own, or else that of the http block.
	Resolver []string `json:"resolver,omitempty"`
	// Uneditable says why nginx.Config's Editable refuses it, Untunable why Tunable does where the servers are not
	// written by name: which these are the status page says. Empty: they do not.
	Untunable  string `json:"untunable,omitempty"`
	Uneditable string `json:"uneditable,omitempty"`
	ByName     bool   `json:"by_name,omitempty"` // as nginx.Upstream's
}

// Line is a server line.
type Line struct {
	Label   string `json:"label"`            // the server, or what was written where it is not known
	Server  string `json:"server,omitempty"` // as NGINX prints it
	Address string `json:"address"`          // as written
	Service string `json:"service,omitempty"`
	Resolve bool   `json:"resolve,omitempty"`
	Weight  int    `json:"weight"`
	Down    bool   `json:"down,omitempty"`
	Backup  bool   `json:"backup,omitempty"`
}

// Standing is how things stand between two changes.
type Standing struct {
	Hold string     `json:"hold,omitempty"` // the hold file exists
	Held string     `json:"held,omitempty"` // why no change may be made now, beside that
	Load nginx.Load `json:"load"`           // of NGINX's processes; zero when they were not looked at
}

// Edit is a change of NGINX's configuration by somebody else.
type Edit struct {
	Files []string `json:"files"`           // changed, added or removed
	Error string   `json:"error,omitempty"` // why the configuration cannot be read; empty: it can
}

// upstreamsOf are the upstreams of a configuration.
func upstreamsOf(cfg *nginx.Config) []Upstream {
	out := make([]Upstream, 0, len(cfg.Upstreams))
	for _, u := range cfg.Upstreams {
		up := Upstream{Name: u.Name, Protocol: u.Protocol, Method: u.Method, File: u.File.Path, Line: u.Line,
			Servers: []Line{}, Zone: u.Zone, ZoneSize: u.ZoneSize, Resolver: u.Resolver, ByName: u.ByName()}
		if up.Resolver == nil {
			up.Resolver = cfg.Resolver
		}
		if err := tunable(cfg, u); err != nil {
			up.Untunable = err.Error()
		}
		if err := cfg.Editable(u.Name); err != nil {
			up.Uneditable = err.Error()
		}
		for _, p := range u.Peers {
			up.Servers = append(up.Servers, Line{Label: p.Label(), Server: p.Server, Address: p.Address,
				Service: p.Service,
				Resolve: p.Resolve, Weight: p.Weight, Down: p.Down, Backup: p.Backup})
		}
		out = append(out, up)
	}
	return out
}

// tunable says why an upstream cannot be tuned by files and reloads; nil: it can, as far as the configuration says.
func tunable(cfg *nginx.Config, u *nginx.Upstream) error {
	if u.ByName() {
		return cfg.Editable(u.Name)
	}
	return cfg.Tunable(u.Name)
}

// Block is the upstream as package nginx has it, without its text.
func (u *Upstream) Block() *nginx.Upstream {
	file := &nginx.File{Path: u.File, Real: u.File}
	out := &nginx.Upstream{Name: u.Name, Protocol: u.Protocol, Method: u.Method, File: file, Line: u.Line,
		Zone: u.Zone, ZoneSize: u.ZoneSize, Resolver: u.Resolver}
	for _, s := range u.Servers {
		p := &nginx.Peer{Address: s.Address, Server: s.Server, Service: s.Service, Resolve: s.Resolve,
			Weight: s.Weight, Down: s.Down, Backup: s.Backup, File: file, Line: u.Line}
		if s.Weight != 1 {
			p.Params = []string{"weight=" + strconv.Itoa(s.Weight)}
		}
		out.Peers = append(out.Peers, p)
	}
	return out
}
