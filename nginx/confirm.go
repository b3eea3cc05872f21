package nginx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Status is what the status page says.
type Status struct {
	LoadMsec  int64 // when the configuration in force was loaded, ms since the Unix epoch
	Upstreams map[string][]PeerStatus
}

// PeerStatus is one server of an upstream on the status page.
type PeerStatus struct {
	Server       string
	Weight       int
	Down, Backup bool
}

// StatusFunc reads the status page over a new connection: a kept one would still be served by a worker of the old
// configuration.
type StatusFunc func(ctx context.Context) (Status, error)

// ErrStatus is returned when the status page cannot be read before a change; nothing has been changed then.
var ErrStatus = errors.New("status page")

// confirmation is what must be seen after a reload.
type confirmation struct {
	status  StatusFunc // nil: only the worker processes are looked at
	before  int64      // LoadMsec before the reload
	sent    time.Time  // when the signal was sent
	now     func() time.Time
	weights Settings
	master  int
	unseen  bool // its processes are not to be seen from here

	sentTicks uint64       // the same in the kernel's clock for the start of processes
	old       map[int]bool // processes that were there before
}

// ready reports whether the reload has been seen to take: on the status page, else by the worker processes.
func (c *confirmation) ready(ctx context.Context) error {
	if c.status == nil {
		return c.newWorkers(ctx)
	}
	s, err := c.status(ctx)
	if err != nil {
		return err
	}
	if s.LoadMsec == c.before || s.LoadMsec < c.sentMsec() {
		return fmt.Errorf("the status page still shows the configuration loaded at %s",
			time.UnixMilli(s.LoadMsec).Format(time.TimeOnly+".000"))
	}
	return s.has(c.weights)
}

// sentMsec is when the signal was sent, by the clock on the wall as it was then or as it is now, whichever is earlier:
// the clock may have been set back since. It may also have been set back before, so that a configuration loaded later
// has the smaller LoadMsec.
func (c *confirmation) sentMsec() int64 {
	now := c.now()
	return min(c.sent.UnixMilli(), now.Add(-now.Sub(c.sent)).UnixMilli())
}

// newWorkers checks that workers run which were not there before the signal, and that all that were there drain or
// have gone: the master starts none when it refuses the new configuration.
func (c *confirmation) newWorkers(context.Context) error {
	now, err := workers(c.master)
	if err != nil {
		return err
	}
	fresh := 0
	for _, w := range now {
		switch {
		case w.draining:
		case c.old[w.pid] || w.started < c.sentTicks:
			return fmt.Errorf("worker %d of the old configuration still serves", w.pid)
		default:
			fresh++
		}
	}
	if fresh == 0 {
		return fmt.Errorf("no worker of the new configuration has started")
	}
	return nil
}

// has checks that the page shows the settings.
func (s Status) has(want Settings) error {
	for _, name := range sortedKeys(want) {
		peers, ok := s.Upstreams[name]
		if !ok {
			return fmt.Errorf("the status page does not show upstream %q", name)
		}
		for _, p := range peers {
			if w, ok := want[name][p.Server]; ok && (w.Weight != p.Weight || w.Down != p.Down) {
				return fmt.Errorf("the status page shows weight %d of server %s in upstream %q, want %d", p.Weight,
					p.Server, name, w.Weight)
			}
		}
	}
	return nil
}

// drainGrace is how long a confirmed reload waits for the old workers to stop accepting, so that the next request meets
// the new weights. A worker that is stuck does not undo the proof.
const drainGrace = 500 * time.Millisecond

// wait polls until the reload is seen to have taken or limit has passed.
func (c *confirmation) wait(ctx context.Context, limit time.Duration) error {
	if err := poll(ctx, limit, c.ready); err != nil {
		return err
	}
	if c.status != nil && !c.unseen {
		_ = poll(ctx, drainGrace, c.newWorkers)
	}
	return nil
}

// hurriedLimit is the longest wait for a confirmation once this process has been told to end.
const hurriedLimit = 2 * time.Second

type hurryKey struct{}

// hurriedBy returns a context that does not end with ctx, for what has to be finished, and that remembers it, see
// hurry.
func hurriedBy(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), hurryKey{}, ctx)
}

// hurry is the context whose end says that somebody waits for this process to end; ctx itself where there is none.
func hurry(ctx context.Context) context.Context {
	if outer, ok := ctx.Value(hurryKey{}).(context.Context); ok {
		return outer
	}
	return ctx
}

// poll calls ready until it returns nil or limit has passed; in a hurry hurriedLimit is.
func poll(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	outer := hurry(ctx)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(outer, func() {
		select {
		case <-ctx.Done():
		case <-time.After(hurriedLimit):
			cancel()
		}
	})
	defer stop()
	for pause := 2 * time.Millisecond; ; pause = min(pause*3/2, 50*time.Millisecond) {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("not confirmed within %s: %w", limit, err)
		case <-t.C:
		}
	}
}

// httpOnly leaves out the stream upstreams, which the status page of the http module does not show.
func (c *Config) httpOnly(names []string) []string {
	var out []string
	for _, u := range c.Upstreams {
		if u.Protocol == "http" && slices.Contains(names, u.Name) {
			out = append(out, u.Name)
		}
	}
	return out
}

// onPage is the part of the settings that the status page can show.
func (c *Config) onPage(s Settings) Settings {
	out := Settings{}
	for _, name := range c.httpOnly(sortedKeys(s)) {
		out[name] = s[name]
	}
	return out
}

// MatchPeers checks that each named upstream has exactly the servers on the status page that stand in the
// configuration, and refuses otherwise: then the page shows another configuration than the files.
func (c *Config) MatchPeers(s Status, upstreams ...string) error {
	for _, name := range upstreams {
		u, err := c.editable(name)
		if err != nil {
			return err
		}
		shown := map[string]int{}
		for _, p := range s.Upstreams[name] {
			if p.Weight == 0 {
				// no server of a configuration: the module's stand-in when none is live, or one that was removed
				continue
			}
			shown[p.Server]++
		}
		if len(shown) == 0 {
			return refuse("upstream %q (%s:%d) is not on the status page: has NGINX loaded this configuration, and "+
				"is the upstream used by a proxy_pass?",
				name, u.File.Path, u.Line)
		}
		written := map[string]int{}
		for _, p := range u.Peers {
			if p.Service != "" {
				continue
			}
			if p.Server == "" {
				for _, address := range p.Resolved {
					written[address]++
				}
				if len(p.Resolved) == 0 {
					return p.hostName(u)
				}
				continue
			}
			if written[p.Server]++; written[p.Server] > 1 {
				return refuse("%s:%d: server %s stands twice in upstream %q: which one the status page means "+
					"cannot be known", p.File.Path, p.Line, p.Server, name)
			}
			if shown[p.Server] == 0 {
				return refuse("%s:%d: server %s of upstream %q is not on the status page", p.File.Path, p.Line,
					p.Server, name)
			}
		}
		for _, server := range sortedKeys(shown) {
			if written[server] == 0 {
				return refuse("the status page shows server %s in upstream %q, which %s:%d does not have", server, name,
					u.File.Path, u.Line)
			}
		}
	}
	return nil
}
