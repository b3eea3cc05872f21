package helper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/nginx"
)

// Root does what needs root, in this process: it is behind the Server, and stands by itself where there is only one
// process. Its methods may be called from several goroutines.
type Root struct {
	Applier   *nginx.Applier
	Upstreams []string // that may be changed; empty: all that can be
	HoldFile  string   // nothing is changed while it exists; empty: there is none
	// SetHold makes the hold file or removes it; nil: that is not for who asks here.
	SetHold func(on bool) error
	// Controls are those beside weights that an objective may use.
	Controls Controls
	// MaxGenerations of draining workers are no reason to hold; 0: any number.
	MaxGenerations int
	// Reloads says that weights change by files and reloads, so that Standing looks at these too.
	Reloads bool

	loadedOnce sync.Once
	loaded     *nginx.Loaded
	ordersOnce sync.Once
	orders     *nginx.Applier
}

// Look reads the upstreams as they stand in the files.
func (r *Root) Look(context.Context) (Look, error) {
	cfg, err := nginx.ReadConfig(r.Applier.Config)
	if err != nil {
		return Look{}, err
	}
	return Look{Upstreams: upstreamsOf(cfg)}, nil
}

// Loaded returns the upstreams as NGINX has loaded them at loadMsec (ms since the Unix epoch).
func (r *Root) Loaded(_ context.Context, loadMsec int64) ([]Upstream, error) {
	r.loadedOnce.Do(func() { r.loaded = &nginx.Loaded{Path: r.Applier.Config} })
	cfg, err := r.loaded.At(loadMsec)
	if err != nil {
		return nil, err
	}
	return upstreamsOf(cfg), nil
}

// ApplyFrom is nginx.Applier's.
func (r *Root) ApplyFrom(ctx context.Context, want, from nginx.Settings) (nginx.Receipt, error) {
	return r.Applier.ApplyFrom(ctx, want, from)
}

// Order makes weights effective that the operator has ordered: servers may be taken out, and neither the circuit
// breaker nor the reload budget of the tuner holds it.
func (r *Root) Order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error) {
	return r.orderer().Apply(ctx, want)
}

func (r *Root) orderer() *nginx.Applier {
	r.ordersOnce.Do(func() {
		a := r.Applier
		r.orders = &nginx.Applier{
			Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix, PIDFile: a.PIDFile,
			TestCommand: a.TestCommand, ReloadCommand: a.ReloadCommand, Status: a.Status, Origin: a.Origin,
			Eject: true, Manual: true,
			HoldUnloaded: a.HoldUnloaded, TestTimeout: a.TestTimeout, ConfirmTimeout: a.ConfirmTimeout, NoReload: a.NoReload,
			Logger: a.Logger,
		}
	})
	return r.orders
}

// Recover is nginx.Applier's. Rates that a daemon which was killed has left below the operator's are put back too.
func (r *Root) Recover(ctx context.Context) (*nginx.Recovery, error) {
	recovery, err := r.Applier.Recover(ctx)
	if err != nil {
		return recovery, err
	}
	if err := r.Release(ctx); err != nil { // the next change of rates begins with it again
		return recovery, &nginx.Refusal{Reason: "the operator's rates are not back: " + err.Error()}
	}
	return recovery, nil
}

// Test runs nginx -t on what is on the disk, once NGINX runs: before that the test would take its ports. It reports
// whether it did, and what nginx -t said.
func (r *Root) Test(ctx context.Context) (tried bool, err error) {
	cfg, err := nginx.ReadConfig(r.Applier.Config)
	if err != nil {
		return false, nil //nolint:nilerr // it was not tried
	}
	if _, err := r.Applier.Master(ctx, cfg); err != nil {
		return false, nil //nolint:nilerr // it was not tried
	}
	return true, r.Applier.Test(ctx)
}

// Answers reports whether the far end of a connection is the NGINX of the configuration.
func (r *Root) Answers(ctx context.Context, conn net.Conn) error { return r.Applier.Answers(ctx, conn) }

// Watch calls report with every edit by somebody else until ctx ends.
func (r *Root) Watch(ctx context.Context, report func(Edit)) error {
	own := func(path string, h nginx.Hash) bool { return r.Applier.Owns(path, h) || r.orderer().Owns(path, h) }
	w := &nginx.Watcher{Config: r.Applier.Config, Own: own, Logger: r.Applier.Logger}
	return w.Run(ctx, func(c nginx.Change) {
		e := Edit{Files: c.Files}
		if c.Err != nil {
			e.Error = c.Err.Error()
		}
		report(e)
	})
}

// Held says whether the hold file makes changes wait; empty: it does not.
func (r *Root) Held() string {
	if r.HoldFile == "" {
		return ""
	}
	switch _, err := os.Stat(r.HoldFile); {
	case err == nil:
		return "hold file: " + r.HoldFile + " exists"
	case !errors.Is(err, fs.ErrNotExist):
		return "hold file: " + err.Error()
	}
	return ""
}

// Hold makes the hold file, or removes it, nil: neither. It returns what Held says then.
func (r *Root) Hold(_ context.Context, on *bool) (held string, err error) {
	if on != nil {
		if r.SetHold == nil {
			return r.Held(), &nginx.Refusal{Reason: "the hold file is not changed from here"}
		}
		err = r.SetHold(*on)
	}
	return r.Held(), err
}

// Standing says how things stand; with dry nothing is going to be written.
func (r *Root) Standing(ctx context.Context, dry bool) (Standing, error) {
	s := Standing{Hold: r.Held()}
	if r.Reloads {
		s.Held, s.Load = r.obstacle(ctx, dry)
	}
	return s, nil
}

// obstacle says why no change may be made by files and reloads now; empty: nothing stands in the way.
func (r *Root) obstacle(ctx context.Context, dry bool) (string, nginx.Load) {
	if b, err := r.Applier.Breaker(); err == nil && b.Open(time.Now()) {
		return "circuit breaker: " + b.String(), nginx.Load{}
	}
	if r.Applier.Budget != nil {
		if wait := r.Applier.Budget.Held(time.Now()); wait != "" {
			return "reload budget: " + wait, nginx.Load{}
		}
	}
	cfg, err := nginx.ReadConfig(r.Applier.Config)
	if err != nil {
		return "configuration: " + err.Error(), nginx.Load{}
	}
	if err := r.writable(cfg); err != nil && !dry {
		return "read-only: " + err.Error(), nginx.Load{}
	}
	if r.Applier.ReloadCommand != nil {
		return "", nginx.Load{} // its processes are not to be seen from here
	}
	pid, err := r.Applier.Master(ctx, cfg)
	if err != nil {
		return "master: " + err.Error(), nginx.Load{}
	}
	l, err := nginx.ReadLoad(pid)
	if err != nil {
		return "master: " + err.Error(), l
	}
	if most := r.MaxGenerations; most > 0 && l.Generations > most {
		return fmt.Sprintf("draining: %d generations of old workers live, at most %d may", l.Generations, most), l
	}
	return "", l
}

// writable reports whether the journal can be written and the files that hold tunable upstreams replaced: better to say
// so than to try again and again.
func (r *Root) writable(cfg *nginx.Config) error {
	if cfg.Root != "" {
		return nginx.ErrContained
	}
	state := filepath.Dir(r.Applier.StateDir)
	dirs := []string{state}
	for _, u := range cfg.Upstreams {
		if dir := filepath.Dir(u.File.Real); r.may(u.Name) && tunable(cfg, u) == nil && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := unix.Access(dir, unix.W_OK); err != nil {
			if dir != state {
				return fmt.Errorf("%s: %w: weights can change without writing there by kind = \"dns\" "+
					"(NGINX 1.27.3) or \"live\"", dir, err)
			}
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	return nil
}

// blind has changes go by NGINX's processes alone from now on: nobody can say any more what the status page shows.
func (r *Root) blind() {
	r.Applier.Status, r.Applier.Origin = nil, nil
	r.orderer().Status, r.orderer().Origin = nil, nil
}

// may reports whether an upstream may be changed.
func (r *Root) may(upstream string) bool {
	return len(r.Upstreams) == 0 || slices.Contains(r.Upstreams, upstream)
}
