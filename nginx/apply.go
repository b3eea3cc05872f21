package nginx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Applier makes settings effective: it edits the files, has NGINX test them, reloads and sees to it that the reload
// took, else puts the old bytes back. Its methods may be called from several goroutines and processes: a lock in
// StateDir lets one through at a time.
type Applier struct {
	Config   string // path of the main configuration file
	StateDir string // journal, backups and lock; never inside a folder that NGINX includes from
	Binary   string // the nginx binary; empty: nginx
	Prefix   string // nginx -p; empty: compiled in
	PIDFile  string // empty: the pid directive, else /run/nginx.pid

	Status StatusFunc  // what the status page says; nil: only NGINX's worker processes are looked at
	Plan   PlanOptions // limits of the edit
	// TestTimeout bounds one nginx -t (default 30 s), ConfirmTimeout the wait for a reload to show (default 5 s).
	TestTimeout, ConfirmTimeout time.Duration
	// NoReload writes the files and leaves the reload to someone else.
	NoReload bool
	Logger   *slog.Logger // nil: discard
}

// Receipt says what became of one Apply.
type Receipt struct {
	Changed   bool      // something was written
	Reloaded  bool      // the reload was confirmed
	Files     []string  // that were written
	Diff      string    // what was written, as a unified diff
	Weights   Settings  // in force after the call, of the upstreams named in the settings
	Notes     []string  // what the operator should know
	Confirmed time.Time // when the reload was confirmed
	Took      time.Duration
	Refused   string // why nothing was changed; empty when something was, or nothing had to be
}

// RollbackError is a change that was written and had to be taken back.
type RollbackError struct {
	Cause   error // why
	Restore error // nil: the old configuration is back and in force
}

func (e *RollbackError) Error() string {
	if e.Restore != nil {
		return fmt.Sprintf("%v; rolling back: %v", e.Cause, e.Restore)
	}
	return fmt.Sprintf("%v; rolled back", e.Cause)
}

func (e *RollbackError) Unwrap() []error { return []error{e.Cause, e.Restore} }

// Apply makes the settings effective. It returns when the change is confirmed, or an error: a *Refusal when nothing
// was touched, a *RollbackError when the change had to be taken back.
func (a *Applier) Apply(ctx context.Context, want Settings) (Receipt, error) {
	began := time.Now()
	r, err := a.apply(ctx, want)
	r.Took = time.Since(began)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		r.Refused = refusal.Reason
	}
	return r, err
}

func (a *Applier) apply(ctx context.Context, want Settings) (Receipt, error) {
	unlock, err := a.lock()
	if err != nil {
		return Receipt{}, err
	}
	defer unlock()
	cfg, err := ReadConfig(a.Config)
	if err != nil {
		return Receipt{}, err
	}
	plan, err := cfg.Plan(want, a.Plan)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{Weights: plan.Weights, Notes: plan.Notes, Diff: plan.Diff()}
	if plan.Empty() {
		return r, nil
	}
	if err := a.validate(ctx, plan); err != nil {
		return r, err
	}
	var m *master
	if !a.NoReload {
		if m, err = findMaster(a.pidFile(cfg)); err != nil {
			return r, refuse("%v", err)
		}
		defer m.close()
	}
	for _, f := range plan.Files {
		if err := replaceFile(f.File, f.Apply()); err != nil {
			return r, err
		}
		r.Files = append(r.Files, f.File.Real)
	}
	r.Changed = true
	if a.NoReload {
		return r, nil
	}
	if err := a.reload(ctx, m, plan.Weights); err != nil {
		return r, a.restore(plan, m, err)
	}
	r.Reloaded, r.Confirmed = true, time.Now()
	return r, nil
}

func (a *Applier) lock() (func(), error) {
	if err := os.MkdirAll(a.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(a.StateDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, refuse("another trimtab holds %s", f.Name())
	}
	return func() { f.Close() }, nil
}

func (a *Applier) pidFile(cfg *Config) string {
	switch {
	case a.PIDFile != "":
		return a.PIDFile
	case cfg.PIDFile == "":
		return "/run/nginx.pid"
	case filepath.IsAbs(cfg.PIDFile):
		return cfg.PIDFile
	}
	return filepath.Join(a.Prefix, cfg.PIDFile)
}

func (a *Applier) validator() validator {
	v := validator{binary: a.Binary, args: []string{"-c", a.Config}, timeout: a.TestTimeout}
	if v.binary == "" {
		v.binary = "nginx"
	}
	if a.Prefix != "" {
		v.args = append([]string{"-p", a.Prefix}, v.args...)
	}
	if v.timeout == 0 {
		v.timeout = 30 * time.Second
	}
	return v
}

// validate has nginx -t read the candidates in place of the live files.
func (a *Applier) validate(ctx context.Context, plan *Plan) error {
	dir, err := os.MkdirTemp(a.StateDir, "candidate-")
	if err != nil {
		return fmt.Errorf("write candidate: %w", err)
	}
	defer os.RemoveAll(dir)
	var overlays []overlay
	for i, f := range plan.Files {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, f.Apply(), 0o600); err != nil {
			return fmt.Errorf("write candidate: %w", err)
		}
		overlays = append(overlays, overlay{candidate: path, live: f.File.Real})
	}
	err = a.validator().test(ctx, overlays)
	if failure := (*testFailure)(nil); errors.As(err, &failure) {
		return refuse("%v", failure)
	}
	return err
}

// reload sends HUP and waits until the new configuration is seen to be in force.
func (a *Applier) reload(ctx context.Context, m *master, weights Settings) error {
	c := confirmation{status: a.Status, weights: weights, master: m.pid, old: map[int]bool{}}
	if a.Status != nil {
		before, err := a.Status(ctx)
		if err != nil {
			return fmt.Errorf("read status before the reload: %w", err)
		}
		c.before = before.LoadMsec
	}
	old, err := workers(m.pid)
	if err != nil {
		return err
	}
	for _, w := range old {
		c.old[w.pid] = true
	}
	c.sent = time.Now()
	if err := m.signal(unix.SIGHUP); err != nil {
		return err
	}
	limit := a.ConfirmTimeout
	if limit == 0 {
		limit = 5 * time.Second
	}
	return c.wait(context.WithoutCancel(ctx), limit)
}

// restore puts the old bytes back and reloads again.
func (a *Applier) restore(plan *Plan, m *master, cause error) error {
	e := &RollbackError{Cause: cause}
	for _, f := range plan.Files {
		now := *f.File
		now.Hash = hashOf(f.Apply())
		if err := replaceFile(&now, f.File.Data); err != nil {
			e.Restore = errors.Join(e.Restore, err)
		}
	}
	if e.Restore != nil {
		return e
	}
	ctx := context.Background()
	if err := a.validator().test(ctx, nil); err != nil {
		e.Restore = err
		return e
	}
	e.Restore = a.reload(ctx, m, nil)
	return e
}

// replaceFile puts data in the place of f, provided that f still has the content that was read.
func replaceFile(f *File, data []byte) error {
	info, err := os.Stat(f.Real)
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(f.Real), ".trimtab-*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	defer os.Remove(temp.Name())
	defer temp.Close()
	st := info.Sys().(*syscall.Stat_t)
	err = errors.Join(temp.Chown(int(st.Uid), int(st.Gid)), temp.Chmod(info.Mode().Perm()))
	if err == nil {
		_, err = temp.Write(data)
	}
	if err == nil {
		err = temp.Sync()
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	now, err := os.ReadFile(f.Real)
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	if hashOf(now) != f.Hash {
		return refuse("%s changed while the edit was being planned", f.Real)
	}
	if err := os.Rename(temp.Name(), f.Real); err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	dir, err := os.Open(filepath.Dir(f.Real))
	if err != nil {
		return fmt.Errorf("replace %s: %w", f.Real, err)
	}
	defer dir.Close()
	return dir.Sync()
}
