package daemon

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"trimtab/helper"
	"trimtab/nginx"
)

// root is what needs root: NGINX's files and processes. It is done by this process, a helper.Root, or asked of another
// one, a helper.Client.
type root interface {
	// Look reads the upstreams as they stand in NGINX's configuration.
	Look(ctx context.Context) (helper.Look, error)
	// Loaded returns the upstreams as NGINX has loaded them at a time, ms since the Unix epoch.
	Loaded(ctx context.Context, loadMsec int64) ([]helper.Upstream, error)
	// Standing says why nothing may be changed now; with dry nothing is going to be written.
	Standing(ctx context.Context, dry bool) (helper.Standing, error)
	// Hold makes the hold file, or removes it, nil: neither, and says why changes are held by one; empty: they are not.
	Hold(ctx context.Context, on *bool) (held string, err error)
	// ApplyFrom and Recover are nginx.Applier's, Order is for what the operator has ordered.
	ApplyFrom(ctx context.Context, want, from nginx.Settings) (nginx.Receipt, error)
	Order(ctx context.Context, want nginx.Settings) (nginx.Receipt, error)
	Recover(ctx context.Context) (*nginx.Recovery, error)
	// Test runs nginx -t, once NGINX runs.
	Test(ctx context.Context) (tried bool, err error)
	// Answers reports whether the far end of a connection is NGINX.
	Answers(ctx context.Context, conn net.Conn) error
	// Scale, Units, Admit and Release are the controls of an objective beside weights.
	Scale(ctx context.Context, capacity map[string]int) error
	Units(ctx context.Context) (map[string]int, error)
	Admit(ctx context.Context, blocked, offered map[string]float64) error
	Release(ctx context.Context) error
	// Watch calls report with every edit by somebody else until ctx ends.
	Watch(ctx context.Context, report func(helper.Edit)) error
}

var (
	_ root = (*helper.Root)(nil)
	_ root = (*helper.Client)(nil)
)

// newRoot returns what needs root for a configuration, to be done by this process. What asks for the status page is not
// set.
func newRoot(cfg *Config, log *slog.Logger) *helper.Root {
	n, a := cfg.Nginx, cfg.Actuator
	r := &helper.Root{
		Upstreams: n.Upstreams, HoldFile: cfg.HoldPath(), MaxGenerations: a.MaxGenerations, Reloads: a.Kind == "reload",
		Applier: &nginx.Applier{
			Config: n.Config, StateDir: filepath.Join(cfg.StateDir,
				"nginx"), Binary: n.Binary, Prefix: n.Prefix, PIDFile: n.PIDFile,
			TestCommand: orNil(n.TestCommand), ReloadCommand: orNil(n.ReloadCommand), Eject: cfg.ejects(),
			HoldUnloaded: true,
			TestTimeout:  time.Duration(n.TestTimeout), ConfirmTimeout: time.Duration(n.ConfirmTimeout), Logger: log,
			Budget: &nginx.Budget{
				Burst: a.Burst, Every: time.Duration(a.Every), Interval: time.Duration(a.Interval),
				MaxGenerations: a.MaxGenerations,
				MaxDraining:    a.MaxDraining, MaxMemoryBytes: int64(a.MaxMemoryMiB) << 20,
			},
		},
	}
	r.Controls = rootControls(cfg, log)
	if cfg.PageTokenFile != "" { // the page has buttons
		r.SetHold = func(on bool) error {
			change := cfg.Release
			if on {
				change = cfg.Hold
			}
			_, err := change()
			return err
		}
	}
	return r
}

// loadedBy is reload.Loaded by way of the root.
type loadedBy struct{ root root }

// At implements reload.Loaded.
func (l loadedBy) At(loadMsec int64) (*nginx.Config, error) {
	list, err := l.root.Loaded(context.Background(), loadMsec)
	if err != nil {
		return nil, err
	}
	cfg := &nginx.Config{}
	for i := range list {
		cfg.Upstreams = append(cfg.Upstreams, list[i].Block())
	}
	return cfg, nil
}
