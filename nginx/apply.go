package nginx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Applier makes settings effective: it edits the files, has NGINX test them, reloads and sees to it that the reload
// took, else puts the old bytes back. Its methods may be called from several goroutines and processes: a lock lets one
// through at a time.
type Applier struct {
	Config   string // path of the main configuration file
	StateDir string // journal, backups and lock, of this configuration alone; never a folder that NGINX includes from
	Binary   string // the nginx binary; empty: nginx
	Prefix   string // nginx -p; empty: compiled in
	PIDFile  string // empty: the pid directive, else compiled in

	// TestCommand and ReloadCommand, a program and its arguments, stand in for nginx -t and the signal to the master
	// where NGINX runs in namespaces of its own, as in a container. Then the candidate is tested in its place, and only
	// the status page confirms a reload.
	TestCommand, ReloadCommand []string

	Status StatusFunc // what the status page says; nil: only NGINX's worker processes are looked at
	Origin OriginFunc // who serves the status page; nil: not asked
	Eject  bool       // allow servers to be marked down
	Budget *Budget    // nil: no limit on reloads
	// Manual says that a person asked for the change: neither the budget nor the circuit breaker holds it.
	Manual bool
	// HoldUnloaded refuses to change anything while the files on the disk are newer than what NGINX has loaded: a
	// reload would put someone's unfinished edit in force.
	HoldUnloaded bool
	// TestTimeout bounds one nginx -t (default 30 s), ConfirmTimeout the wait for a reload to show (default 5 s),
	// LockWait the wait for another change to end (default 3 s).
	TestTimeout, ConfirmTimeout, LockWait time.Duration
	// NoReload writes the files and leaves the reload to someone else.
	NoReload bool
	Logger   *slog.Logger     // nil: discard
	Clock    func() time.Time // nil: time.Now

	mu        sync.Mutex
	owned     owned
	elsewhere bool                               // it has been said that the status page comes from elsewhere
	inPlace   bool                               // it has been said that there is no mount namespace
	intercept func(s step, f func() error) error // tests stand between the pipeline and the machine
}

// Receipt says what became of one Apply.
type Receipt struct {
	Changed   bool      // something was written
	Reloaded  bool      // the reload was confirmed
	Files     []string  // that were written
	Diff      string    // what was written, as a unified diff
	Weights   Settings  // of the upstreams named in the settings: what stands in the files after the call
	Notes     []string  // what the operator should know
	Confirmed time.Time // when the reload was confirmed
	Took      time.Duration
	Refused   string    // why nothing was changed; empty when something was, or nothing had to be
	Recovered *Recovery // what was left over from a crash and has been undone first; nil: nothing
}

// RollbackError is a change that was written and had to be taken back.
type RollbackError struct {
	Cause   error // why
	Restore error // nil: the old files are back and NGINX runs them
}

func (e *RollbackError) Error() string {
	if e.Restore != nil {
		return fmt.Sprintf("%v; rolling back: %v", e.Cause, e.Restore)
	}
	return fmt.Sprintf("%v; rolled back", e.Cause)
}

func (e *RollbackError) Unwrap() []error { return []error{e.Cause, e.Restore} }

// replans is how often a plan is made again because someone saved a file while it was under way.
const replans = 3

// Apply makes the settings effective. It returns when the change is confirmed, or an error: a *Refusal when nothing
// was changed, a *RollbackError when the change had to be taken back. Until the journal is written, cancelling ctx
// stops it with nothing changed; from then on it finishes or rolls back.
func (a *Applier) Apply(ctx context.Context, want Settings) (Receipt, error) {
	return a.ApplyFrom(ctx, want, nil)
}

// ApplyFrom is Apply for a change that was decided from what the status page showed as in force: when it shows
// other settings by now, somebody else has changed them, and the change is refused.
func (a *Applier) ApplyFrom(ctx context.Context, want, from Settings) (Receipt, error) {
	return a.locked(ctx, func(r *Receipt) error {
		for try := 1; ; try++ {
			err := a.apply(ctx, want, from, r)
			if !errors.Is(err, errChanged) {
				return err
			}
			if try == replans {
				return &Refusal{Reason: fmt.Sprintf("someone keeps saving the configuration (%v); nothing was changed",
					err), RetryAfter: time.Second}
			}
			r.Notes = append(r.Notes, fmt.Sprintf("%v while the change was under way: planned again from the new file",
				err))
		}
	})
}

// locked runs f with the lock held and leftovers of a crash cleared away, and completes the receipt.
func (a *Applier) locked(ctx context.Context, f func(*Receipt) error) (Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.owned.settle()
	began := a.now()
	var r Receipt
	err := a.absolute()
	if err == nil {
		var unlock func()
		if unlock, err = a.lock(ctx); err == nil {
			defer unlock()
			if r.Recovered, err = a.recover(ctx); err == nil {
				err = f(&r)
			}
		}
	}
	r.Took = a.now().Sub(began)
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) && !r.Changed {
		r.Refused = refusal.Reason
	}
	return r, err
}

func (a *Applier) absolute() (err error) {
	if a.Config, err = filepath.Abs(a.Config); err != nil {
		return err
	}
	a.StateDir, err = filepath.Abs(a.StateDir)
	return err
}

func (a *Applier) apply(ctx context.Context, want, from Settings, r *Receipt) error {
	cfg, err := readConfig(a.Config, a.readFile)
	if err != nil {
		return err
	}
	if err := a.stateApart(cfg); err != nil {
		return err
	}
	if err := a.trust(cfg); err != nil {
		return err
	}
	last, err := a.readJournal(lastName)
	if err != nil {
		return err
	}
	a.sweep(last)
	if err := a.resolve(ctx, cfg, sortedKeys(want)); err != nil {
		return err
	}
	plan, err := cfg.Plan(want, PlanOptions{Eject: a.Eject, Ejected: last.ejected})
	if err != nil {
		return err
	}
	r.Weights, r.Diff = plan.Weights, plan.Diff()
	r.Notes = append(r.Notes, plan.Notes...)
	c := &change{
		config: cfg, last: last, from: from, before: cfg.settings(sortedKeys(want)), weights: plan.Weights,
		earlier: last.ejections(), ejected: plan.ejections(last.ejections()),
	}
	if plan.Empty() {
		return a.loadWritten(ctx, c, r)
	}
	for _, f := range plan.Files {
		c.files = append(c.files, newReplacement(f.File, f.Apply()))
	}
	return a.commit(ctx, c, r)
}

// resolve finds the addresses of servers that are written by name, where a status page shows them.
func (a *Applier) resolve(ctx context.Context, cfg *Config, names []string) error {
	byName := slices.DeleteFunc(cfg.httpOnly(names), func(name string) bool {
		u, err := cfg.editable(name)
		return err != nil || !slices.ContainsFunc(u.Peers, func(p *Peer) bool { return p.Server == "" })
	})
	if a.Status == nil || len(byName) == 0 {
		return nil
	}
	status, err := a.Status(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStatus, err)
	}
	return cfg.Resolve(ctx, status, byName...)
}

// ResolveNames notes which addresses the status page shows for servers that are written by name, as far as it shows
// them.
func (a *Applier) ResolveNames(ctx context.Context, cfg *Config) {
	for _, u := range cfg.Upstreams {
		if u.ByName() {
			_ = a.resolve(ctx, cfg, []string{u.Name}) // without the page they go by their names
		}
	}
}

// stateApart refuses a state folder from which NGINX would read.
func (a *Applier) stateApart(cfg *Config) error {
	for _, f := range cfg.Files {
		if filepath.Dir(f.Path) == a.StateDir || filepath.Dir(f.Real) == a.StateDir {
			return refuse("the state folder %s holds files of the configuration: use another", a.StateDir)
		}
	}
	for _, pattern := range cfg.Patterns {
		if matchPart(filepath.Base(pattern), tempPrefix) {
			return refuse("include %s also reads hidden files, and files are replaced through one: use a pattern "+
				"without a leading dot", pattern)
		}
	}
	return nil
}

// settings returns what stands in the files for the named upstreams.
func (c *Config) settings(names []string) Settings {
	s := Settings{}
	for _, u := range c.Upstreams {
		for _, name := range names {
			if u.Name != name {
				continue
			}
			s[name] = map[string]Setting{}
			for _, p := range u.Peers {
				s[name][p.Label()] = Setting{Weight: p.Weight, Down: p.Down}
			}
		}
	}
	return s
}

func (a *Applier) log() *slog.Logger {
	if a.Logger != nil {
		return a.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (a *Applier) now() time.Time {
	if a.Clock != nil {
		return a.Clock()
	}
	return time.Now()
}

func (a *Applier) lockWait() time.Duration {
	if a.LockWait > 0 {
		return a.LockWait
	}
	return 3 * time.Second
}
