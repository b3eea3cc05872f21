package dns

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"trimtab/nginx"
)

// MaxWeight is the largest weight of an SRV record; NGINX takes it as it is.
const MaxWeight = 65535

// State is what NGINX is told: per upstream its servers and their weights.
type State struct {
	Format    int                 `json:"format"` // 1
	Serial    uint64              `json:"serial"` // rises with every change
	Upstreams map[string]Upstream `json:"upstreams"`
}

// Upstream is one upstream whose servers come by DNS.
type Upstream struct {
	Servers []Peer `json:"servers"` // in the order in which NGINX gets them
}

// Peer is one server of an upstream.
type Peer struct {
	Address string `json:"server"` // IP:port, as NGINX prints it
	Weight  int    `json:"weight"` // 1 to MaxWeight
	Base    int    `json:"base"`   // the operator's weight: what reset returns to
	Backup  bool   `json:"backup,omitempty"`
	Down    bool   `json:"down"` // left out of the answer: it finishes what it has and gets nothing new
}

// Validate reports everything that must not be answered.
func (s *State) Validate() error {
	var errs []error
	if s.Format != 1 {
		errs = append(errs, fmt.Errorf("format %d, want 1", s.Format))
	}
	labels := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Upstreams)) {
		errs = append(errs, s.Upstreams[name].validate(name))
		if other, taken := labels[Label(name)]; taken {
			errs = append(errs, fmt.Errorf("upstreams %q and %q have the same name in DNS", other, name))
		}
		labels[Label(name)] = name
	}
	return errors.Join(errs...)
}

func (u Upstream) validate(name string) error {
	var errs []error
	fail := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("upstream %q: "+format, append([]any{name}, args...)...))
	}
	seen := map[string]bool{}
	up := 0
	for _, s := range u.Servers {
		ap, err := netip.ParseAddrPort(s.Address)
		switch {
		case err != nil || ap.Port() == 0 || ap.Addr().Zone() != "":
			fail("server %q: want IP:port", s.Address)
		case ap.String() != s.Address:
			fail("server %q: write it as %s", s.Address, ap)
		case seen[s.Address]:
			fail("server %s stands in it twice", s.Address)
		}
		seen[s.Address] = true
		if s.Weight < 1 || s.Weight > MaxWeight || s.Base < 1 || s.Base > MaxWeight {
			fail("server %s: weights %d and %d: want 1 to %d", s.Address, s.Weight, s.Base, MaxWeight)
		}
		if !s.Backup && !s.Down {
			up++
		}
	}
	if up == 0 {
		fail("no server would be left")
	}
	return errors.Join(errs...)
}

// Clone is a deep copy.
func (s *State) Clone() *State {
	c := *s
	c.Upstreams = make(map[string]Upstream, len(s.Upstreams))
	for name, u := range s.Upstreams {
		c.Upstreams[name] = Upstream{Servers: slices.Clone(u.Servers)}
	}
	return &c
}

// Settings are the weights of the named upstreams; of all when there are no names.
func (s *State) Settings(names ...string) nginx.Settings {
	out := nginx.Settings{}
	for name, u := range s.Upstreams {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		out[name] = make(map[string]nginx.Setting, len(u.Servers))
		for _, o := range u.Servers {
			out[name][o.Address] = nginx.Setting{Weight: o.Weight, Down: o.Down}
		}
	}
	return out
}

// Set puts settings in, and reports whether anything changed. Servers that are not named keep what they have. It
// refuses servers that are not there, and to leave an upstream without one; then s is unchanged.
func (s *State) Set(want nginx.Settings) (changed bool, err error) {
	next := s.Clone()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		u, ok := next.Upstreams[name]
		if !ok {
			return false, refuse("upstream %q does not come by DNS: run trimtab nginx dns install", name)
		}
		for _, server := range slices.Sorted(maps.Keys(want[name])) {
			i := slices.IndexFunc(u.Servers, func(o Peer) bool { return o.Address == server })
			if i < 0 {
				return false, refuse("upstream %q has no server %s", name, server)
			}
			w := want[name][server]
			if w.Weight < 1 || w.Weight > MaxWeight {
				return false, refuse("upstream %q: weight %d of server %s: want 1 to %d", name, w.Weight, server,
					MaxWeight)
			}
			if u.Servers[i].Weight != w.Weight || u.Servers[i].Down != w.Down {
				u.Servers[i].Weight, u.Servers[i].Down, changed = w.Weight, w.Down, true
			}
		}
	}
	if err := next.Validate(); err != nil {
		return false, refuse("%v", err)
	}
	if changed {
		*s = *next
	}
	return changed, nil
}

// Reset gives the named upstreams, or all, the operator's weights and puts every server back in. It reports whether
// anything changed.
func (s *State) Reset(names ...string) (changed bool, err error) {
	for _, name := range names {
		if _, ok := s.Upstreams[name]; !ok {
			return false, refuse("upstream %q does not come by DNS", name)
		}
	}
	for name, u := range s.Upstreams {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		for i, o := range u.Servers {
			if o.Weight != o.Base || o.Down {
				u.Servers[i].Weight, u.Servers[i].Down, changed = o.Base, false, true
			}
		}
	}
	return changed, nil
}

// Member is a server that an upstream is to have, with the operator's weight.
type Member struct {
	Address string
	Weight  int // 0 means 1
	Backup  bool
}

// Join gives an upstream exactly these members. Those that were there keep their weights; one that comes gets the share
// that the operator's weights give it beside them. It reports whether anything changed, and refuses a list that leaves
// nobody to send to.
func (s *State) Join(name string, members []Member) (changed bool, err error) {
	next := s.Clone()
	old := next.Upstreams[name]
	byAddress := map[string]Peer{}
	sum, base := 0, 0
	for _, o := range old.Servers {
		byAddress[o.Address] = o
		if !o.Backup {
			sum, base = sum+o.Weight, base+o.Base
		}
	}
	joined := Upstream{Servers: make([]Peer, 0, len(members))}
	for _, m := range members {
		weight := cmp.Or(m.Weight, 1)
		o, known := byAddress[m.Address]
		switch {
		case !known && base > 0 && !m.Backup:
			scaled := min(max(1, (weight*sum+base/2)/base), MaxWeight)
			o = Peer{Address: m.Address, Weight: scaled, Base: weight}
		case !known || o.Base != weight: // the operator has given it another weight: his counts
			o = Peer{Address: m.Address, Weight: weight, Base: weight, Down: o.Down}
		}
		o.Backup = m.Backup
		joined.Servers = append(joined.Servers, o)
	}
	if slices.Equal(old.Servers, joined.Servers) {
		return false, nil
	}
	next.Upstreams[name] = joined
	if err := next.Validate(); err != nil {
		return false, refuse("%v", err)
	}
	*s = *next
	return true, nil
}

func refuse(format string, args ...any) error {
	return &nginx.Refusal{Reason: fmt.Sprintf(format, args...)}
}
