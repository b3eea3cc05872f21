package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/nginx/reload"
	"trimtab/orders"
	"trimtab/vts"
)

// Clerk puts orders in force where no daemon runs, and sees whether one that runs has done so.
type Clerk struct{ session *Session }

// NewClerk returns a clerk for a configuration that is valid. It does no I/O but to read the secrets that the
// configuration names.
func NewClerk(cfg *Config, log *slog.Logger) (*Clerk, error) {
	s, err := newSession(cfg, log, nil)
	if err != nil {
		return nil, &ConfigError{err}
	}
	return &Clerk{session: s}, nil
}

// Close ends the connections to the status page.
func (c *Clerk) Close() { c.session.close() }

// Page reads the status page over a new connection.
func (c *Clerk) Page(ctx context.Context) (vts.Status, error) {
	return reload.Filled{StatusSource: c.session.fresh, Loaded: loadedBy{c.session.root}}.Status(ctx)
}

// Enforce puts the orders in force.
func (c *Clerk) Enforce(ctx context.Context, now time.Time) error {
	st, err := c.Page(ctx)
	if err != nil {
		return err
	}
	sample := vts.Sample{}
	for _, u := range st.Upstreams {
		g := vts.GroupSample{Name: u.Name}
		for i := range u.Peers {
			if p := &u.Peers[i]; !p.Pseudo(u.Name) {
				g.Peers = append(g.Peers, vts.PeerSample{Server: p.Server, Weight: p.Weight, Down: p.Down,
					Backup: p.Backup})
			}
		}
		sample.Groups = append(sample.Groups, g)
	}
	if err := c.session.hand.overlay(ctx, &sample); err != nil {
		return err
	}
	if _, err := c.session.see(&sample, now); err != nil {
		return err
	}
	_, err = c.session.enforce(ctx, now)
	return err
}

// Follows reports why the page does not show what the orders say.
func (c *Clerk) Follows(ctx context.Context, upstream string, o *orders.Orders, now time.Time) error {
	base, known := o.Before[upstream]
	active := o.Active(upstream, now)
	switch {
	case !active && !known:
		return nil
	case !known || !active:
		return errors.New("it has not begun")
	}
	status, err := c.session.status(ctx)
	if err != nil {
		return err
	}
	want, err := c.session.shaped(upstream, base, o, now)
	if err != nil {
		return err
	}
	for _, p := range status.Upstreams[upstream] {
		w, ok := want[p.Server]
		if !ok || p.Backup && !w.Down {
			continue
		}
		if in := !p.Down && !p.Backup; in == w.Down || in && p.Weight != w.Weight {
			return fmt.Errorf("the page shows weight %d, down %t of server %s", p.Weight, p.Down, p.Server)
		}
	}
	return nil
}

// Running reports whether a daemon holds the state folder.
func Running(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "daemon.lock"))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
