package nginx

import (
	"context"
	"errors"
	"fmt"
	"net"

	"trimtab/nginx/origin"
)

// OriginFunc asks for the status page over a new connection and has look see the connection once the answer has begun.
type OriginFunc func(ctx context.Context, look func(net.Conn) error) error

// Family is NGINX's master and all its workers, old and new.
func (a *Applier) Family(ctx context.Context) ([]int, error) {
	cfg, err := ReadConfig(a.Config)
	if err != nil {
		return nil, err
	}
	m, err := a.master(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer m.close()
	return m.family()
}

func (m *master) family() ([]int, error) {
	pids, err := children(m.pid)
	if err != nil {
		return nil, fmt.Errorf("list workers of NGINX master %d: %w", m.pid, err)
	}
	return append(pids, m.pid), nil
}

// Answers reports whether the far end of the connection, from which something has been read, is the NGINX of the
// configuration; see package origin.
func (a *Applier) Answers(ctx context.Context, conn net.Conn) error {
	pids, err := a.Family(ctx)
	if err != nil {
		return err
	}
	_, err = origin.Check(conn, pids)
	return err
}

// OwnPage reports whether the status page is that of the NGINX that would be changed: nil when it is, or when that
// cannot be seen, which note then says.
func (a *Applier) OwnPage(ctx context.Context) (note string, err error) {
	if a.Origin == nil {
		return "not checked: it comes through another program", nil
	}
	var seen error
	if err := a.Origin(ctx, func(conn net.Conn) error { seen = a.Answers(ctx, conn); return nil }); err != nil {
		return "", fmt.Errorf("%w: %w", ErrStatus, err)
	}
	switch {
	case errors.Is(seen, origin.ErrOther), errors.Is(seen, ErrNoMaster):
		return "", seen
	case seen != nil:
		return "cannot be seen: " + seen.Error(), nil //nolint:nilerr // it is said
	}
	return "", nil
}

// samePage refuses a change when the status page is that of another program than the master that would be told to
// reload: the weights that it shows would be others, and so would be what confirms the change. Where the page comes
// from another machine that cannot be seen, which is logged once; what it shows is compared with the configuration in
// any case.
func (a *Applier) samePage(ctx context.Context, m *master) error {
	if a.Origin == nil || m.command != nil { // the processes behind a command are not to be seen
		return nil
	}
	var seen error
	err := a.do("see whose status page it is", "", func() error {
		return a.Origin(ctx, func(conn net.Conn) error {
			pids, err := m.family() // now: a reload may have renewed them
			if err == nil {
				_, err = origin.Check(conn, pids)
			}
			seen = err
			return nil
		})
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrStatus, err)
	case errors.Is(seen, origin.ErrOther):
		return refuse("the status page is not that of the NGINX that would be changed (master %d): %v", m.pid, seen)
	case errors.Is(seen, origin.ErrElsewhere):
		if !a.elsewhere {
			a.elsewhere = true
			a.log().Warn("the status page comes from elsewhere: that it is this NGINX's cannot be checked", "error",
				seen)
		}
	case seen != nil:
		a.log().Info("that the status page is this NGINX's cannot be checked", "error", seen)
	}
	return nil
}
