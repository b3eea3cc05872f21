package nginx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Recovery says what a crash had left behind and what became of it.
type Recovery struct {
	Phase    string   // how far the change had come: replace, reload or restore
	Restored []string // files that were put back
	Kept     []string // files that someone has saved since: they stay as they are
	Reloaded bool     // NGINX runs the restored files
	Note     string   // why NGINX was not reloaded; empty when it was, or need not be
}

// Recover clears away what a crash has left behind: every file of an unfinished change that still holds the new
// content gets the old one back, and NGINX loads it. It returns nil when there was nothing to do. Apply does the same
// first, so that calling it is only needed at start, to recover before anything else happens.
func (a *Applier) Recover(ctx context.Context) (*Recovery, error) {
	r, err := a.locked(ctx, func(*Receipt) error { return nil })
	return r.Recovered, err
}

// recover is Recover with the lock held.
func (a *Applier) recover(ctx context.Context) (*Recovery, error) {
	j, err := a.readJournal(journalName)
	if err != nil || j == nil {
		return nil, err
	}
	if err := a.trustJournal(j); err != nil {
		return nil, a.putAside(journalName, err)
	}
	ctx = context.WithoutCancel(ctx)
	rec := &Recovery{Phase: j.Phase}
	reload := j.Phase != phaseReplace
	var files []*replacement
	for _, f := range j.Files {
		r := &replacement{Path: f.Path, Real: f.Real, Temp: f.Temp, Old: f.Old, New: f.New}
		live, err := a.readFile(f.Real)
		if errors.Is(err, fs.ErrNotExist) {
			rec.Kept = append(rec.Kept, f.Real) // someone took it away
			continue
		}
		if err != nil {
			return rec, unrecovered(err)
		}
		switch hashOf(live) {
		case f.New:
			if r.before, err = a.kept(f.Old); err != nil {
				return rec, unrecovered(fmt.Errorf("%s: %w", f.Real, err))
			}
			r.after = live
			rec.Restored = append(rec.Restored, f.Real)
		case f.Old:
		default:
			rec.Kept = append(rec.Kept, f.Real)
		}
		files = append(files, r)
	}
	if len(rec.Restored) > 0 && j.Phase == phaseReplace {
		// Should this be interrupted too, the next recovery must know that NGINX may have seen the new files.
		j.Phase, reload = phaseRestore, true
		if err := a.writeJournal(j); err != nil {
			return rec, unrecovered(err)
		}
	}
	if _, err := a.undo(files); err != nil {
		return rec, unrecovered(err)
	}
	if reload && !a.NoReload {
		if err := a.reloadRecovered(ctx, j, rec); err != nil {
			return rec, unrecovered(fmt.Errorf("the files are restored: %w", err))
		}
	}
	a.log().Warn("undid a change that a crash had left unfinished", "phase", rec.Phase, "restored", rec.Restored,
		"kept", rec.Kept,
		"reloaded", rec.Reloaded, "note", rec.Note)
	return rec, a.dropJournal()
}

func unrecovered(err error) error {
	return &RollbackError{Cause: errors.New("a change was interrupted"), Restore: err}
}

// reloadRecovered has NGINX load the restored files. That it does not run, or that the operator's files do not pass,
// is no fault of the recovery: the files are right and it says why nothing was reloaded.
func (a *Applier) reloadRecovered(ctx context.Context, j *journal, rec *Recovery) error {
	cfg, err := readConfig(a.Config, a.readFile)
	if err != nil {
		rec.Note = err.Error()
		return nil
	}
	m, err := a.master(ctx, cfg)
	if errors.Is(err, ErrNoMaster) {
		rec.Note = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer m.close()
	if err := a.runTest(ctx, nil); err != nil {
		rec.Note = err.Error()
		return nil
	}
	old, err := a.generation(ctx, m)
	if err != nil {
		return err
	}
	want := cfg.onPage(cfg.settings(sortedKeys(j.Before)))
	if err := a.reload(ctx, m, old, want); err != nil {
		return err
	}
	rec.Reloaded = true
	return nil
}

// Rollback undoes the last change: every file gets the content it had before, by the same pipeline as any change. It
// refuses where someone has saved a file since. Undoing twice brings the change back.
func (a *Applier) Rollback(ctx context.Context) (Receipt, error) {
	return a.locked(ctx, func(r *Receipt) error { return a.rollback(ctx, r) })
}

func (a *Applier) rollback(ctx context.Context, r *Receipt) error {
	if r.Recovered != nil {
		return nil // the unfinished change was the last one, and is undone
	}
	last, err := a.readJournal(lastName)
	if err != nil {
		return err
	}
	if last == nil {
		return refuse("no change of %s is on record in %s", a.Config, a.StateDir)
	}
	cfg, err := readConfig(a.Config, a.readFile)
	if err != nil {
		return err
	}
	c := &change{
		config: cfg, last: last, before: last.Weights, weights: last.Before, earlier: last.Ejected,
		ejected: last.Earlier, forced: true,
	}
	plan := &Plan{Config: cfg}
	for _, w := range last.Files {
		f := cfg.file(w.Real)
		if f == nil {
			return refuse("%s no longer belongs to the configuration", w.Path)
		}
		if f.Hash != w.New {
			return refuse("%s was saved by someone after the change of %s: undo it by hand (the earlier content is %s)",
				w.Path, last.At.Format("2006-01-02 15:04:05"), a.backupPath(w.Old))
		}
		before, err := a.kept(w.Old)
		if err != nil {
			return err
		}
		c.files = append(c.files, newReplacement(f, before))
		plan.Files = append(plan.Files, FileChange{File: f, Edits: []Edit{{Old: string(f.Data), New: string(before)}}})
	}
	r.Weights, r.Diff = last.Before, plan.Diff()
	return a.commit(ctx, c, r)
}

// file returns the file of the configuration with the resolved path.
func (c *Config) file(real string) *File {
	for _, f := range c.Files {
		if f.Real == real {
			return f
		}
	}
	return nil
}
