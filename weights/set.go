package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Clone returns a deep copy.
func (w Set) Clone() Set {
	c := make(Set, len(w))
	for name, g := range w {
		c[name] = maps.Clone(g)
	}
	return c
}

// Equal reports whether both hold the same settings.
func (w Set) Equal(o Set) bool { return maps.EqualFunc(w, o, Group.Equal) }

// Equal reports whether both groups have the same servers with the same settings.
func (g Group) Equal(o Group) bool { return maps.Equal(g, o) }

// SameServers reports whether both groups have the same servers, whatever their settings.
func (g Group) SameServers(o Group) bool {
	return maps.EqualFunc(g, o, func(Setting, Setting) bool { return true })
}

// Shares returns the share of requests that a round robin gives each server by its weight, 0 to what is down; the
// shares sum to 1, or to 0 when every server is down.
func (g Group) Shares() map[string]float64 {
	sum := 0.0
	for _, s := range g {
		if !s.Down {
			sum += float64(s.Weight.Int())
		}
	}
	out := make(map[string]float64, len(g))
	for server, s := range g {
		if s.Down || sum == 0 {
			out[server] = 0
			continue
		}
		out[server] = float64(s.Weight.Int()) / sum
	}
	return out
}

// Diff returns the groups of w that o does not hold with the same settings.
func (w Set) Diff(o Set) Set {
	d := Set{}
	for name, g := range w {
		if !g.Equal(o[name]) {
			d[name] = maps.Clone(g)
		}
	}
	return d
}

// String lists the settings, groups and servers sorted: "api a=3 b=1 (down)".
func (w Set) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(w)) {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name)
		for _, server := range slices.Sorted(maps.Keys(w[name])) {
			s := w[name][server]
			fmt.Fprintf(&b, " %s=%d", server, s.Weight.Int())
			if s.Down {
				b.WriteString(" (down)")
			}
		}
	}
	return b.String()
}
