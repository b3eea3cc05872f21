package helper

import (
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
	// Untunable and Uneditable say why nginx.Config's Tunable and Editable refuse it; empty: they do not.
	Untunable  string `json:"untunable,omitempty"`
	Uneditable string `json:"uneditable,omitempty"`
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
			Servers: []Line{}}
		if err := cfg.Tunable(u.Name); err != nil {
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

// Block is the upstream as package nginx has it, without its text.
func (u *Upstream) Block() *nginx.Upstream {
	file := &nginx.File{Path: u.File, Real: u.File}
	out := &nginx.Upstream{Name: u.Name, Protocol: u.Protocol, Method: u.Method, File: file, Line: u.Line}
	for _, s := range u.Servers {
		out.Peers = append(out.Peers, &nginx.Peer{Address: s.Address, Server: s.Server, Service: s.Service,
			Resolve: s.Resolve,
			Weight:  s.Weight, Down: s.Down, Backup: s.Backup, File: file, Line: u.Line})
	}
	return out
}
