package nginx

import (
	"context"
	"errors"
	"fmt"
)

// change is a set of files that are replaced together.
type change struct {
	config           *Config
	files            []*replacement
	from             Settings   // what the status page showed when the change was decided; nil: whatever is in force
	before, weights  Settings   // of the upstreams concerned
	earlier, ejected []ejection // Trimtab's down marks before and after
	last             *journal   // of the change before this one; nil: none
	forced           bool       // a person asked: neither budget nor breaker holds it
}

// commit validates the change, writes it and makes it effective.
func (a *Applier) commit(ctx context.Context, c *change, r *Receipt) error {
	if err := a.mayChange(c); err != nil {
		return err
	}
	for _, f := range c.files {
		if err := f.replaceable(); err != nil {
			return err
		}
	}
	var m *master
	var old generation
	if !a.NoReload {
		var err error
		if m, old, err = a.before(ctx, c, r); err != nil {
			return err
		}
		defer m.close()
		if err := a.Budget.allow(a.now(), m.pid, a.Manual || c.forced); err != nil {
			return err
		}
	}
	tested, err := a.validate(ctx, c.files)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	// From here on the change is finished or taken back, whatever ctx says; that it has ended only makes haste.
	ctx = hurriedBy(ctx)
	j := &journal{
		Phase: phaseReplace, Config: a.Config, At: a.now(), Weights: c.weights, Before: c.before, Ejected: c.ejected,
		Earlier: c.earlier,
	}
	j.record(c.files)
	if err := a.writeJournal(j); err != nil {
		return errors.Join(err, a.dropJournal())
	}
	if err := a.write(ctx, c, j, !tested); err != nil {
		return err
	}
	r.Changed = true
	for _, f := range c.files {
		r.Files = append(r.Files, f.Real)
	}
	if !a.NoReload {
		a.Budget.spend(a.now())
		if err := a.effect(ctx, c, j, m, old); err != nil {
			r.Changed = err.Restore != nil
			return err
		}
		r.Reloaded, r.Confirmed = true, a.now()
	}
	return a.settle(c, j, r)
}

// loadWritten sees to weights that stand in the files already: when the status page shows that NGINX runs others, it
// has not loaded the files, and is told to.
func (a *Applier) loadWritten(ctx context.Context, c *change, r *Receipt) error {
	if a.Status == nil || a.NoReload {
		return nil
	}
	m, old, err := a.before(ctx, c, r)
	if err != nil {
		return err
	}
	defer m.close()
	weights := c.config.onPage(c.weights)
	if old.status.has(weights) == nil {
		return nil
	}
	if err := a.mayChange(c); err != nil {
		return err
	}
	if err := a.Budget.allow(a.now(), m.pid, a.Manual); err != nil {
		return err
	}
	if err := a.runTest(ctx, nil); err != nil {
		return a.judge(ctx, err)
	}
	a.Budget.spend(a.now())
	if err := a.reload(context.WithoutCancel(ctx), m, old, weights); err != nil {
		if trip := a.trip(err); trip != nil {
			a.log().Error("cannot record the failed reload; the next one will not be held back", "error", trip)
		}
		// Nothing was written, so there is nothing to put back.
		return &RollbackError{Cause: err}
	}
	r.Reloaded, r.Confirmed = true, a.now()
	return nil
}

// mayChange asks the circuit breaker.
func (a *Applier) mayChange(c *change) error {
	b, err := a.Breaker()
	if err != nil {
		return err
	}
	if b.Open(a.now()) && !a.Manual && !c.forced {
		return b.refusal(a.now())
	}
	return nil
}

// before finds the master and checks that the status page shows the servers of the configuration.
func (a *Applier) before(ctx context.Context, c *change, r *Receipt) (*master, generation, error) {
	m, err := a.master(ctx, c.config)
	if err != nil {
		return nil, generation{}, refuse("%v", err)
	}
	old, err := a.generation(ctx, m)
	if err == nil {
		err = a.samePage(ctx, m)
	}
	if err == nil && a.Status != nil {
		err = c.config.MatchPeers(old.status, c.config.httpOnly(sortedKeys(c.weights))...)
	}
	if err == nil && a.Status != nil {
		if moved := old.status.has(c.from); moved != nil {
			err = refuse("%v as when the change was decided: somebody else has changed it since", moved)
		}
	}
	if err == nil {
		if newer := a.unloaded(c.config, old, c.last); newer != "" {
			note := newer + " was saved after NGINX had loaded its configuration: a reload puts that in force too"
			if a.HoldUnloaded {
				err = refuse("%s; reload NGINX yourself to let the change through", note)
			} else {
				r.Notes = append(r.Notes, note)
			}
		}
	}
	if err != nil {
		m.close()
		return nil, generation{}, err
	}
	return m, old, nil
}

// write puts the new files in the place of the old ones. When it fails, the old ones are back.
func (a *Applier) write(ctx context.Context, c *change, j *journal, test bool) error {
	var err error
	for _, f := range c.files {
		if err = a.stage(f); err != nil {
			break
		}
	}
	// A save of any other file of the configuration since the validation is noticed too: what was tested must be what
	// is loaded.
	if err == nil {
		err = a.unmoved(c)
	}
	if err == nil {
		for _, f := range c.files {
			if err = a.swap(f); err != nil {
				break
			}
		}
	}
	var failed error
	if err == nil && test {
		failed = a.runTest(hurry(ctx), nil) // nothing is in force yet: it can be given up
		err = failed
	}
	if err == nil {
		return nil
	}
	if _, undo := a.undo(c.files); undo != nil {
		return &RollbackError{Cause: err, Restore: undo}
	}
	if failed != nil {
		err = a.judge(hurry(ctx), failed) // by what is there without the change
	}
	if drop := a.dropJournal(); drop != nil {
		a.log().Warn("the journal of a change that was taken back stays; it is cleared at the next change", "error",
			drop)
	}
	return err
}

// unmoved checks that no file of the configuration has changed since it was read.
func (a *Applier) unmoved(c *change) error {
	for _, f := range c.config.Files {
		data, err := a.readFile(f.Real)
		if err != nil {
			return err
		}
		if hashOf(data) != f.Hash {
			return fmt.Errorf("%s: %w", f.Path, errChanged)
		}
	}
	return nil
}

// effect reloads and confirms; when that fails it restores the old files, reloads again and opens the breaker.
func (a *Applier) effect(ctx context.Context, c *change, j *journal, m *master, old generation) *RollbackError {
	j.Phase = phaseReload
	err := a.writeJournal(j)
	if err == nil {
		err = a.reload(ctx, m, old, c.config.onPage(c.weights))
	}
	if err == nil {
		return nil
	}
	e := &RollbackError{Cause: err}
	e.Restore = a.restore(ctx, c, j, m, old)
	if trip := a.trip(err); trip != nil {
		a.log().Error("cannot record the failed change; the next one will not be held back", "error", trip)
	}
	return e
}

// restore puts the old files back and sees to it that NGINX runs them.
func (a *Applier) restore(ctx context.Context, c *change, j *journal, m *master, old generation) error {
	j.Phase = phaseRestore
	// The journal in place says enough to repeat this after a crash; one more phase only makes it sure to reload.
	if err := a.writeJournal(j); err != nil {
		a.log().Warn("cannot note the rollback in the journal", "error", err)
	}
	if _, err := a.undo(c.files); err != nil {
		return err
	}
	if err := a.runTest(ctx, nil); err != nil {
		return fmt.Errorf("the restored configuration does not pass: %w", err)
	}
	if err := a.rerun(ctx, m, old, c.config.onPage(c.before)); err != nil {
		return err
	}
	return a.dropJournal()
}

// rerun reloads after a restore. A master that has gone, or that runs what it ran before all this because it refuses
// every reload, needs nothing more.
func (a *Applier) rerun(ctx context.Context, m *master, old generation, weights Settings) error {
	now, err := a.generation(ctx, m)
	if err == nil {
		if err = a.reload(ctx, m, now, weights); err == nil {
			return nil
		}
	}
	if m.gone() || a.unchanged(ctx, m, old) {
		return nil
	}
	return err
}

// settle ends a change that is in force.
func (a *Applier) settle(c *change, j *journal, r *Receipt) error {
	for _, f := range c.files {
		switch err := a.finish(f); {
		case errors.Is(err, errChanged):
			r.Notes = append(r.Notes, fmt.Sprintf("%v while it was being replaced: that version is back in its place",
				err))
		case err != nil:
			// In force and confirmed: a left-over temporary file is cleared at the next change.
			r.Notes = append(r.Notes, err.Error())
		}
	}
	if err := a.closeJournal(); err != nil {
		return fmt.Errorf("the change is in force, but its record is not: %w", err)
	}
	if err := a.CloseBreaker(); err != nil {
		r.Notes = append(r.Notes, err.Error())
	}
	a.prune(j)
	return nil
}
