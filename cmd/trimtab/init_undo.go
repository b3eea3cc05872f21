package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"trimtab/daemon"
	"trimtab/nginx"
	"trimtab/plain"
	"trimtab/setup"
)

// undo takes back what init has made: lines, weights, files, in this order, because NGINX has to be asked while its
// page is there.
func (s *setting) undo(ctx context.Context) error {
	r, err := setup.ReadRecord(s.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return withCode(exitConfig, fmt.Errorf("there is nothing to take back: init was not run for %s",
			s.flags.config))
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	cfg, err := daemon.ReadConfig(s.flags.config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return withCode(exitConfig, fmt.Errorf("%w: the configuration is needed to find the daemon and its weights",
			err))
	}
	if cfg != nil {
		if err := s.noDaemon(ctx, cfg); err != nil {
			return err
		}
		if err := s.undoWeights(ctx, cfg, r); err != nil {
			return err
		}
	}
	kept, err := r.Undo()
	for _, k := range kept {
		s.say("left alone: %s", k)
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	if r.Reload {
		if err := s.reloadNGINX(ctx, r); err != nil {
			return err
		}
	}
	if err := os.Remove(s.recordPath()); err != nil {
		return withCode(exitConfig, err)
	}
	_ = os.Remove(filepath.Dir(s.recordPath())) // when it was made for this, and is empty
	s.say("taken back: %s on disk; what was learned stays in the state folder",
		plain.Count(len(r.Steps)-len(kept), "change"))
	return nil
}

// noDaemon refuses while a daemon tunes: it would change the weights again.
func (s *setting) noDaemon(ctx context.Context, cfg *daemon.Config) error {
	x := &examination{}
	if x.daemon(ctx, cfg); len(x.found) > 0 && x.found[0].Status != statusSkip {
		return withCode(exitRefused, fmt.Errorf("a daemon tunes with %s: stop it first (systemctl disable "+
			"--now trimtab)", s.flags.config))
	}
	return nil
}

// undoWeights puts the operator's weights, and the lines of before, back in force.
func (s *setting) undoWeights(ctx context.Context, cfg *daemon.Config, r *setup.Record) error {
	flags := nginxFlags{config: r.NGINX, binary: r.Binary, prefix: cfg.Nginx.Prefix,
		stateDir: filepath.Join(cfg.StateDir, "nginx")}
	if r.DNS {
		where := dnsFlags{listen: cfg.Actuator.DNSListen, zone: cfg.Actuator.DNSZone, state: cfg.DNSPath()}
		if err := resetLines(ctx, s.env, flags, where, nil); err != nil {
			return err
		}
		s.say("the lines of before are back in %s", r.NGINX)
		return nil
	}
	if cfg.Actuator.Kind != "reload" {
		return nil
	}
	loaded, err := nginx.ReadConfig(r.NGINX)
	if err != nil {
		return withCode(exitConfig, err)
	}
	a, end, err := flags.applier()
	if err != nil {
		return err
	}
	defer end()
	a.Eject = true // marks of Trimtab's own go too
	ejected, err := a.Ejected()
	if err != nil {
		return withCode(exitConfig, err)
	}
	want := nginx.Settings{}
	for _, u := range loaded.Upstreams {
		for _, p := range u.Peers {
			was, known := r.Weights[u.Name][p.Address]
			now := nginx.Setting{Weight: p.Weight, Down: p.Down}
			if !ejected(u.Name, p.Label()) {
				was.Down = p.Down // whoever has marked it since
			}
			if !known || was == now {
				continue
			}
			if want[u.Name] == nil {
				want[u.Name] = map[string]nginx.Setting{}
			}
			want[u.Name][p.Address] = was
		}
	}
	if len(want) == 0 {
		return nil
	}
	if _, err := a.Apply(ctx, want); err != nil {
		return withCode(applyCode(err), fmt.Errorf("put the weights of before back: %w", err))
	}
	s.say("the weights of before are back in force")
	return nil
}

// reloadNGINX has the running master load what was put back.
func (s *setting) reloadNGINX(ctx context.Context, r *setup.Record) error {
	all, err := setup.Find(ctx)
	if err != nil {
		return withCode(exitConfig, err)
	}
	for _, n := range all {
		if sameFile(n.Config, r.NGINX) {
			if err := syscall.Kill(n.PID, syscall.SIGHUP); err != nil {
				return withCode(exitReload, fmt.Errorf("reload NGINX: %w", err))
			}
			s.say("NGINX is reloaded without them")
		}
	}
	return nil
}

// indented writes lines under a heading.
type indented struct{ to io.Writer }

func (w *indented) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if _, err := fmt.Fprintf(w.to, "               %s", line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
