package nginx

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// generation is what NGINX runs at one moment, to tell later whether it runs something newer.
type generation struct {
	status   Status       // zero without a status page
	workers  map[int]bool // all children of the master, those without a title yet included
	loaded   time.Time    // when the configuration was loaded, as precisely as known
	errorLog string       // path
	logSize  int64
}

func (a *Applier) generation(ctx context.Context, m *master) (generation, error) {
	g := generation{workers: map[int]bool{}, errorLog: m.errorLog}
	ctx, cancel := context.WithTimeout(ctx, a.confirmTimeout())
	defer cancel()
	var ws []worker
	var pids []int
	if m.command == nil {
		var err error
		if ws, err = workers(m.pid); err != nil {
			return g, err
		}
		if pids, err = children(m.pid); err != nil {
			return g, err
		}
	}
	for _, pid := range pids {
		g.workers[pid] = true
	}
	for _, w := range ws {
		g.workers[w.pid] = true
		if at := w.since(a.now()); !w.draining && (g.loaded.IsZero() || at.Before(g.loaded)) {
			g.loaded = at
		}
	}
	if a.Status != nil {
		if err := a.do("read status", "", func() (err error) {
			g.status, err = a.Status(ctx)
			return err
		}); err != nil {
			return g, fmt.Errorf("%w: %w", ErrStatus, err)
		}
		g.loaded = time.UnixMilli(g.status.LoadMsec)
	}
	if info, err := os.Stat(g.errorLog); err == nil {
		g.logSize = info.Size()
	}
	return g, nil
}

// reload sends HUP and waits until a newer generation than old, with the weights, is in force.
func (a *Applier) reload(ctx context.Context, m *master, old generation, weights Settings) error {
	c := confirmation{status: a.Status, weights: weights, master: m.pid, unseen: m.command != nil,
		before: old.status.LoadMsec, old: old.workers, sent: a.now(), now: a.now, sentTicks: bootTicks()}
	if err := a.do("send HUP", "", func() error { return m.reload(ctx) }); err != nil {
		return err
	}
	err := a.do("confirm", "", func() error { return c.wait(ctx, a.confirmTimeout()) })
	if err == nil {
		return nil
	}
	if said := newEmerg(old.errorLog, old.logSize); said != "" {
		return fmt.Errorf("NGINX refused to reload: %s (%w)", said, err)
	}
	return err
}

// newEmerg is the first line of level emerg in the error log behind the given size; empty when there is none.
func newEmerg(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	n, _ := f.ReadAt(buf, from)
	for line := range strings.Lines(string(buf[:n])) {
		if text, ok := emergText(line); ok {
			return text
		}
	}
	return ""
}

// unchanged reports that NGINX still runs the generation g, so that a reload which was asked for did not happen.
func (a *Applier) unchanged(ctx context.Context, m *master, g generation) bool {
	now, err := a.generation(ctx, m)
	if err != nil || now.status.LoadMsec != g.status.LoadMsec {
		return false
	}
	if m.command != nil {
		return true
	}
	ws, err := workers(m.pid)
	if err != nil {
		return false
	}
	for _, w := range ws {
		if !w.draining && !g.workers[w.pid] {
			return false
		}
	}
	return true
}

func (a *Applier) confirmTimeout() time.Duration {
	if a.ConfirmTimeout > 0 {
		return a.ConfirmTimeout
	}
	return 5 * time.Second
}
