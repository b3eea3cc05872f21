package daemon

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"trimtab/nginx/dns"
)

// MemberConfig is one [[actuator.members]] of trimtab.toml: who the servers of an upstream are that takes them by DNS.
type MemberConfig struct {
	Upstream string   `toml:"upstream"`
	Servers  []string `toml:"servers"`
	File     string   `toml:"file"`
	Name     string   `toml:"name"`
	Every    Span     `toml:"every"`
}

func (m MemberConfig) members() (dns.Members, error) {
	out := dns.Members{Upstream: m.Upstream, File: m.File, Name: m.Name, Every: time.Duration(m.Every)}
	switch {
	case m.Upstream == "":
		return out, fmt.Errorf("actuator.members: want the name of an upstream")
	case m.File == "" && m.Name == "" && len(m.Servers) == 0:
		return out, fmt.Errorf("actuator.members of %s: want servers, a file or a name", m.Upstream)
	case m.File != "" && !filepath.IsAbs(m.File):
		return out, fmt.Errorf("actuator.members of %s: file %q: want an absolute path", m.Upstream, m.File)
	}
	if m.Name != "" {
		if _, _, err := net.SplitHostPort(m.Name); err != nil {
			return out, fmt.Errorf("actuator.members of %s: name %q: want host:port", m.Upstream, m.Name)
		}
	}
	for _, s := range m.Servers {
		list, err := dns.ParseMembers([]byte(fmt.Sprintf("[%q]", s)))
		if err != nil {
			return out, fmt.Errorf("actuator.members of %s: %w", m.Upstream, err)
		}
		out.Servers = append(out.Servers, list...)
	}
	return out, nil
}
