package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"trimtab/orders"
	"trimtab/weights"
)

// UpstreamConfig is one [[upstream]] of trimtab.toml: what is known of an upstream, and what its operator wants of
// its servers.
type UpstreamConfig struct {
	UpstreamWish
	Name      string         `toml:"name"`
	Method    string         `toml:"method"`
	Deadline  Span           `toml:"deadline"`
	Priority  float64        `toml:"priority"`
	SlowStart Span           `toml:"slow_start"`
	Tune      *bool          `toml:"tune"`
	MinShare  float64        `toml:"min_share"`
	MaxShare  float64        `toml:"max_share"`
	Probe     string         `toml:"probe"`
	Server    []ServerConfig `toml:"server"`
}

// ServerConfig is one [[upstream.server]]: where a server is to be treated otherwise than its upstream.
type ServerConfig struct {
	Address   string  `toml:"address"`
	Pin       float64 `toml:"pin"`
	MinShare  float64 `toml:"min_share"`
	MaxShare  float64 `toml:"max_share"`
	SlowStart *Span   `toml:"slow_start"`
	Tune      *bool   `toml:"tune"`
}

// limits of the server's share, within those of its upstream where it has none of its own.
func (s *ServerConfig) limits(each weights.Limits) weights.Limits {
	if s.Pin > 0 {
		return weights.Limits{Min: s.Pin, Max: s.Pin}
	}
	own := each
	if s.MinShare > 0 {
		own.Min = s.MinShare
	}
	if s.MaxShare > 0 {
		own.Max = s.MaxShare
	}
	return own
}

func (u *UpstreamConfig) each() weights.Limits {
	return weights.Limits{Min: u.MinShare, Max: u.MaxShare}
}

// bounds are the limits as the tuner takes them.
func (u *UpstreamConfig) bounds() weights.GroupLimits {
	out := weights.GroupLimits{Each: u.each()}
	for i := range u.Server {
		s := &u.Server[i]
		if s.Tune != nil && !*s.Tune {
			if out.Keep == nil {
				out.Keep = map[string]bool{}
			}
			out.Keep[s.Address] = true
		}
		if own := s.limits(u.each()); own != u.each() {
			if out.Servers == nil {
				out.Servers = map[string]weights.Limits{}
			}
			out.Servers[s.Address] = own
		}
	}
	return out
}

// limited reports whether any share is bounded.
func (u *UpstreamConfig) limited() bool {
	b := u.bounds()
	return !b.Free()
}

// validate reports every fault, each beginning with the key that it is about.
func (u *UpstreamConfig) validate() (errs []error) {
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("upstream %q: "+format, append([]any{u.Name}, args...)...))
	}
	if err := u.each().Validate(); err != nil {
		fault("min_share, max_share: %w", err)
	}
	if u.Probe != "" && u.Probe != probeOff && !strings.HasPrefix(u.Probe, "/") {
		fault("probe %q: want a path such as \"/healthz\", or \"off\"", u.Probe)
	}
	least := 0.0
	var seen []string
	for i := range u.Server {
		s := &u.Server[i]
		switch {
		case s.Address == "":
			fault("server %d: want an address", i+1)
		case slices.Contains(seen, s.Address):
			fault("server %s is there twice", s.Address)
		case !(s.Pin >= 0 && s.Pin < 1):
			fault("server %s: pin %g: want more than 0 and less than 1", s.Address, s.Pin)
		case s.Pin > 0 && (s.MinShare > 0 || s.MaxShare > 0 || s.Tune != nil):
			fault("server %s: pin is a share already: want no min_share, max_share or tune beside it", s.Address)
		case s.Tune != nil && *s.Tune:
			fault("server %s: tune = true is what it is without a word", s.Address)
		default:
			if err := s.limits(u.each()).Validate(); err != nil {
				fault("server %s: min_share, max_share: %w", s.Address, err)
			}
		}
		seen = append(seen, s.Address)
		least += s.limits(u.each()).Min
	}
	if least > 1 {
		fault("the least shares of its servers add up to %.4g %%: want at most 100", 100*least)
	}
	return errs
}

// errLearner says who keeps limits.
var errLearner = errors.New(
	"limits of shares (pin, min_share, max_share, tune of a server) are kept by tuner.learner = \"tuned\" only")

func (c *Config) upstream(name string) *UpstreamConfig {
	for i := range c.Upstream {
		if c.Upstream[i].Name == name {
			return &c.Upstream[i]
		}
	}
	return &UpstreamConfig{Name: name}
}

// SlowStart is how long a server of an upstream grows that is new or has come back; 0: it does not.
func (c *Config) SlowStart(upstream, server string) time.Duration {
	u := c.upstream(upstream)
	for i := range u.Server {
		if s := &u.Server[i]; s.Address == server && s.SlowStart != nil {
			return time.Duration(*s.SlowStart)
		}
	}
	return time.Duration(u.SlowStart)
}

// tunes reports whether an upstream may be tuned.
func (c *Config) tunes(upstream string) bool {
	return c.upstream(upstream).tunes()
}

// bounds are the limits of an upstream's shares: what is ordered goes before what the configuration says.
func (c *Config) bounds(upstream string, ordered map[string]orders.Limit) weights.GroupLimits {
	out := c.upstream(upstream).bounds()
	for server, l := range ordered {
		if server == orders.Every && !l.Keep {
			out.Each = l.Bounds()
			continue
		}
		delete(out.Keep, server)
		delete(out.Servers, server)
		if l.Keep {
			if out.Keep == nil {
				out.Keep = map[string]bool{}
			}
			out.Keep[server] = true
			continue
		}
		if out.Servers == nil {
			out.Servers = map[string]weights.Limits{}
		}
		out.Servers[server] = l.Bounds()
	}
	return out
}

// limits of the shares of an upstream's servers.
func (c *Config) limits(upstream string, ordered map[string]orders.Limit, servers []string) map[string]weights.Limits {
	b, out := c.bounds(upstream, ordered), map[string]weights.Limits{}
	if b.Each.Free() && len(b.Servers)+len(b.Keep) == 0 {
		return nil
	}
	for _, server := range servers {
		if own, named := b.Servers[server]; named {
			out[server] = own
		} else {
			out[server] = b.Each
		}
	}
	return out
}

// Wishes are what the configuration asks of single servers' shares, in words.
func (c *Config) Wishes() []string {
	var out []string
	for i := range c.Upstream {
		u := &c.Upstream[i]
		if !u.tunes() {
			out = append(out, fmt.Sprintf("upstream %s is not tuned", u.Name))
		}
		if each := u.each(); !each.Free() {
			out = append(out, fmt.Sprintf("every server of %s has %s of its requests", u.Name, shareText(each)))
		}
		for j := range u.Server {
			s := &u.Server[j]
			switch own := s.limits(u.each()); {
			case s.Tune != nil && !*s.Tune:
				out = append(out, fmt.Sprintf("server %s of %s keeps the share that its weight gives it", s.Address,
					u.Name))
			case own != u.each():
				out = append(out, fmt.Sprintf("server %s of %s has %s of the requests", s.Address, u.Name,
					shareText(own)))
			}
		}
	}
	return out
}

func (u *UpstreamConfig) tunes() bool { return u.Tune == nil || *u.Tune }

func shareText(l weights.Limits) string {
	switch most := min(1, l.Max); {
	case l.Min == l.Max:
		return fmt.Sprintf("%.4g %%", 100*l.Min)
	case most == 0 || most == 1:
		return fmt.Sprintf("at least %.4g %%", 100*l.Min)
	case l.Min == 0:
		return fmt.Sprintf("at most %.4g %%", 100*most)
	default:
		return fmt.Sprintf("%.4g to %.4g %%", 100*l.Min, 100*most)
	}
}
