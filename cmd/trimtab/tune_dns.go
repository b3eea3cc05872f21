package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/tuner"
	"trimtab/vts"
)

// memberConfig is one [[actuator.members]] of trimtab.toml: who the servers of an upstream are that takes them by DNS.
type memberConfig struct {
	Upstream string   `toml:"upstream"`
	Servers  []string `toml:"servers"`
	File     string   `toml:"file"`
	Name     string   `toml:"name"`
	Every    span     `toml:"every"`
}

func (m memberConfig) members() (dns.Members, error) {
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

// dnsSession is what a session needs for weights by DNS.
type dnsSession struct {
	*dns.Actuator
	server   *dns.Server
	follower *dns.Follower // nil: the servers are those of the installation
	zone     string
}

func newDNSSession(cfg *daemonConfig, status nginx.StatusFunc, log *slog.Logger) (*dnsSession, error) {
	store := dns.Store{Path: filepath.Join(cfg.StateDir, "dns.json")}
	a, err := dns.New(dns.Config{
		Listen: cfg.Actuator.DNSListen, Zone: cfg.Actuator.DNSZone, Store: store, Status: status,
		Confirm: time.Duration(cfg.Actuator.DNSConfirm),
	})
	if err != nil {
		return nil, err
	}
	s := &dnsSession{Actuator: a, zone: cfg.Actuator.DNSZone}
	// After a reload of the daemon's configuration the session before gives the port up within moments.
	s.server, err = dns.NewServer(dns.ServerConfig{Listen: cfg.Actuator.DNSListen, Zone: cfg.Actuator.DNSZone,
		Store: store, RetryPort: 200 * time.Millisecond, Logger: log})
	if err != nil || len(cfg.Actuator.Members) == 0 {
		return s, err
	}
	s.follower = &dns.Follower{Logger: log, Join: func(ctx context.Context, upstream string,
		members []dns.Member) error {
		_, err := s.Change(ctx, []string{upstream}, func(st *dns.State) (bool, error) {
			return st.Join(upstream,
				members)
		})
		return err
	}}
	for _, m := range cfg.Actuator.Members {
		members, err := m.members()
		if err != nil {
			return nil, err
		}
		s.follower.Members = append(s.follower.Members, members)
	}
	return s, nil
}

// begin answers NGINX and follows the members until ctx ends.
func (s *dnsSession) begin(ctx context.Context, all *sync.WaitGroup) {
	all.Go(func() { _ = s.server.Run(ctx) })
	if s.follower != nil {
		all.Go(func() { _ = s.follower.Run(ctx) })
	}
}

// obstacle says why no change may be made now.
func (s *dnsSession) obstacle() string {
	if err := s.server.Answering(); err != nil {
		return "dns: " + err.Error()
	}
	return ""
}

// leftOut says why an upstream is not tuned.
func (s *dnsSession) leftOut(u *nginx.Upstream) string {
	if !dns.Installed(u, s.zone) {
		return fmt.Sprintf("upstream %q (%s:%d) does not take its weights by DNS: run trimtab nginx dns install",
			u.Name, u.File.Path, u.Line)
	}
	return ""
}

// overlay puts in the weights that NGINX is told where the page does not show any, and the servers that are left out, which the
// page shows as the backups that stand in or not at all.
func (s *dnsSession) overlay(sample *vts.Sample) error {
	st, err := s.State()
	if err != nil {
		return err
	}
	told := st.Settings()
	for i := range sample.Groups {
		g := &sample.Groups[i]
		for j := range g.Peers {
			p := &g.Peers[j]
			if w, ok := told[g.Name][p.Server]; ok && p.Weight == 0 {
				p.Weight, p.Down, p.Backup = w.Weight, w.Down, false
			} else if ok && w.Down && p.Backup {
				p.Weight, p.Down, p.Backup = w.Weight, true, false
			}
		}
		for _, server := range slices.Sorted(maps.Keys(told[g.Name])) {
			w := told[g.Name][server]
			if w.Down && !slices.ContainsFunc(g.Peers, func(p vts.PeerSample) bool { return p.Server == server }) {
				g.Peers = append(slices.Clone(g.Peers), vts.PeerSample{Server: server, Weight: w.Weight, Down: true})
			}
		}
	}
	return nil
}

// put makes weights effective; from is what they were decided from, nil: whatever is in force. A change that is under way
// at SIGTERM is finished or taken back.
func (s *dnsSession) put(ctx context.Context, w tuner.Weights, from nginx.Settings) (tuner.Receipt, error) {
	want := nginxSettings(w)
	r, err := s.Change(context.WithoutCancel(ctx), slices.Sorted(maps.Keys(want)), func(st *dns.State) (bool, error) {
		for name, servers := range st.Settings(slices.Sorted(maps.Keys(from))...) {
			for server, now := range servers {
				if was, ok := from[name][server]; ok && was != now {
					return false,
						&nginx.Refusal{Reason: fmt.Sprintf("upstream %q: server %s has weight %d, and had %d when the change was decided: somebody else has changed it", name, server, now.Weight, was.Weight)}
				}
			}
		}
		return st.Set(want)
	})
	return tuner.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, withCode(applyCode(err), err)
}

// plan is what put would tell NGINX, for people.
func (s *dnsSession) plan(w tuner.Weights) (string, error) {
	st, err := s.State()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w)) {
		for _, o := range st.Upstreams[name].Servers {
			if next, ok := w[name][o.Address]; ok && next.Weight.Int() != o.Weight {
				fmt.Fprintf(&b, "%s %s: weight %d, now %d\n", name, o.Address, next.Weight.Int(), o.Weight)
			}
		}
	}
	return b.String(), nil
}
