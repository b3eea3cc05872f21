package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"trimtab/control"
	"trimtab/helper"
	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/vts"
	"trimtab/weights"
)

// dnsHand tells NGINX weights by DNS.
type dnsHand struct {
	*Session
	setter   *dns.Actuator
	server   *dns.Server
	follower *dns.Follower // nil: the servers are those of the installation
	zone     string
}

var (
	_ hand     = dnsHand{}
	_ beginner = dnsHand{}
)

func newDNSHand(s *Session, log *slog.Logger) (dnsHand, error) {
	a := s.cfg.Actuator
	h := dnsHand{Session: s, zone: a.DNSZone}
	store := dns.Store{Path: s.cfg.DNSPath()}
	var err error
	if h.setter, err = dns.New(dns.Config{
		Listen: a.DNSListen, Zone: a.DNSZone, Store: store, Status: s.status, Confirm: time.Duration(a.DNSConfirm),
	}); err != nil {
		return h, err
	}
	// After a reload of the daemon's configuration the session before gives the port up within moments.
	h.server, err = dns.NewServer(dns.ServerConfig{
		Listen: a.DNSListen, Zone: a.DNSZone, Store: store, RetryPort: 200 * time.Millisecond, Logger: log,
	})
	if err != nil || len(a.Members) == 0 {
		return h, err
	}
	h.follower = &dns.Follower{Logger: log, Join: h.join}
	for i, m := range a.Members {
		members, err := m.members()
		if err != nil {
			return h, err
		}
		members.Read = func() ([]byte, error) { return s.cfg.file(membersFile + strconv.Itoa(i)) }
		h.follower.Members = append(h.follower.Members, members)
	}
	return h, nil
}

// begin answers NGINX and follows the members until ctx ends. Members join through the server: until it answers, there
// is nobody to ask, and its own fault is the one to tell of.
func (h dnsHand) begin(ctx context.Context, d *Service, all *sync.WaitGroup) {
	all.Go(func() { d.keepRunning(ctx, inDNS, func() { _ = h.server.Run(ctx) }) })
	if h.follower != nil {
		all.Go(func() {
			select {
			case <-ctx.Done():
			case <-h.server.Up():
				d.keepRunning(ctx, inDNS, func() { _ = h.follower.Run(ctx) })
			}
		})
	}
}

// put finishes a change that is under way at SIGTERM, or takes it back.
func (h dnsHand) put(ctx context.Context, w weights.Set, from nginx.Settings) (control.Receipt, error) {
	want := nginx.SettingsOf(w)
	r, err := h.setter.Change(context.WithoutCancel(ctx), slices.Sorted(maps.Keys(want)),
		func(st *dns.State) (bool, error) {
			for name, servers := range st.Settings(slices.Sorted(maps.Keys(from))...) {
				for server, now := range servers {
					if was, ok := from[name][server]; ok && was != now {
						return false, &nginx.Refusal{Reason: fmt.Sprintf(
							"upstream %q: server %s has weight %d, and had %d when the change was decided: somebody "+
								"else has changed it",
							name, server, now.Weight, was.Weight)}
					}
				}
			}
			return st.Set(want)
		})
	if err == nil {
		h.change = &pageAfter{at: time.Now()}
		if r.Changed {
			// What happened while NGINX had not yet asked belongs to neither the weights of before nor the new ones.
			_, _ = h.reader.Sample(ctx)
		}
	}
	return control.Receipt{Changed: r.Changed, At: r.Confirmed, Took: r.Took}, err
}

func (h dnsHand) order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return h.setter.Apply(context.WithoutCancel(ctx), want)
}

// plan is what put would tell NGINX.
func (h dnsHand) plan(w weights.Set) (string, error) {
	st, err := h.setter.State()
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

// InForce is what NGINX is told, once the status page shows it.
func (h dnsHand) InForce(ctx context.Context) (weights.Set, error) {
	now, err := h.setter.InForce(ctx)
	return nginx.SetOf(now), err
}

// standing are the servers that NGINX is told: they do not stand in the file.
func (h dnsHand) standing(context.Context) (weights.Set, error) {
	st, err := h.setter.State()
	if err != nil {
		return nil, err
	}
	return nginx.SetOf(st.Settings()), nil
}

// overlay puts in the weights that NGINX is told where the page does not show any, and the servers that are left out,
// which the page shows as the backups that stand in or not at all.
func (h dnsHand) overlay(_ context.Context, sample *vts.Sample) error {
	st, err := h.setter.State()
	if err != nil {
		return err
	}
	told := st.Settings()
	for i := range sample.Groups {
		g := &sample.Groups[i]
		g.Peers = slices.Clone(g.Peers)
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
				g.Peers = append(g.Peers, vts.PeerSample{Server: server, Weight: w.Weight, Down: true})
			}
		}
	}
	return nil
}

func (h dnsHand) mayTune(u *helper.Upstream) string {
	if u.Uneditable != "" {
		return u.Uneditable
	}
	st, err := h.setter.State()
	if err != nil {
		return err.Error()
	}
	block, servers := u.Block(), st.Upstreams[u.Name].Servers
	// The resolver of the http block stands in the block where that has none of its own.
	faults := dns.Faults(&nginx.Config{}, block, h.cfg.Actuator.DNSListen, h.zone, servers,
		time.Duration(h.cfg.Actuator.DNSConfirm))
	if dns.Misspelt(block, h.zone) {
		return faults[0]
	}
	if !dns.Installed(block, h.zone) {
		return fmt.Sprintf("upstream %q (%s:%d) does not take its weights by DNS: run trimtab nginx dns install",
			u.Name, u.File, u.Line)
	}
	small := dns.Small(block, len(servers)) // which is said when NGINX takes no more
	for _, fault := range faults {
		if fault != small {
			return fault
		}
	}
	return ""
}

// join makes a list of members effective, unless the zone of the upstream has no room for them.
func (h dnsHand) join(ctx context.Context, upstream string, members []dns.Member) error {
	if h.cfg.Nginx.Config != "" {
		if seen, err := h.root.Look(ctx); err == nil {
			for i := range seen.Upstreams {
				u := &seen.Upstreams[i]
				if u.Name != upstream {
					continue
				}
				if short := dns.Small(u.Block(), len(members)); short != "" {
					return &nginx.Refusal{Reason: short}
				}
			}
		}
	}
	_, err := h.setter.Change(ctx, []string{upstream}, func(st *dns.State) (bool, error) {
		return st.Join(upstream, members)
	})
	return err
}

func (h dnsHand) obstacle() string {
	if err := h.server.Answering(); err != nil {
		return "dns: " + err.Error()
	}
	return ""
}
