package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/nginx"
)

// restore takes over the state of the run before. Without it the daemon only has to learn again: the weights stand in
// NGINX's configuration.
func (d *Service) restore(ctx context.Context) (err error) {
	if d.opts.DryRun {
		if st, err := d.store.Read(); err == nil {
			d.state.Snapshot = st.Snapshot
		}
		d.install(d.session, true)
		d.state.Snapshot = nil
		return nil
	}
	_ = d.contain(inState, func() {
		st, aside, err := d.store.Load()
		if err != nil {
			d.log.Error("state cannot be read, beginning without it", "error", err)
		}
		if aside != "" {
			d.own.quarantined.Inc()
		}
		d.state, d.explained = st, st.Explanation
	})
	d.restoreProof(d.session)
	d.install(d.session, true)
	if d.session.reloads() || d.session.cfg.Objective.Admission == admissionRate {
		_ = d.contain(inStep, func() { err = d.recover(ctx, d.session) })
	}
	return err
}

// recover undoes what a crash has left half done in NGINX's configuration.
func (d *Service) recover(ctx context.Context, s *Session) error {
	r, err := s.root.Recover(ctx)
	if err != nil {
		if refusal := (*nginx.Refusal)(nil); errors.As(err, &refusal) {
			d.log.Warn("nothing recovered", "reason", refusal.Reason)
			return nil
		}
		if errors.Is(err, unix.EROFS) { // changes are held until it can be written, and the first one recovers before
			d.log.Error("nothing can be recovered", "error", err)
			return nil
		}
		return fmt.Errorf("recover from a crash: %w", err)
	}
	if r != nil {
		d.log.Warn("recovered from a crash in the middle of a change", "phase", r.Phase, "restored",
			r.Restored, "reloaded", r.Reloaded)
	}
	return nil
}

// save writes the state; a failure is logged when it begins and when it ends, and costs nothing but what was learned.
func (d *Service) save(s *Session) {
	d.saved = time.Now()
	d.keep(s)
	var err error
	if fault := d.contain(inState, func() { err = d.store.Save(d.state) }); fault != nil {
		err = fault
	}
	d.trouble(troubleState, err)
	if err != nil {
		d.own.saveFailures.Inc()
		if d.unsaved == nil {
			d.log.Error("state cannot be written: the daemon goes on, and will have to learn again after a restart",
				"error", err)
		}
	} else if d.unsaved != nil {
		d.log.Info("state is written again")
	}
	d.unsaved = err
}

// keep puts into the state what has been learned and decided. What cannot be had, or not be written, leaves what was
// kept.
func (d *Service) keep(s *Session) {
	if text := d.explanation(); text != nil {
		d.state.Explanation = text
	}
	if d.recovery.onProbation(time.Now()) {
		return
	}
	var text json.RawMessage
	var err error
	if fault := d.contain(inState, func() { text, err = snapshotOf(s.policy) }); fault != nil {
		return
	}
	if err != nil {
		d.log.Warn("what was learned cannot be kept", "error", err)
	} else if text != nil {
		d.state.Snapshot = text
	}
}

// explanation is the last one as JSON; nil: there is none, or it cannot be written.
func (d *Service) explanation() json.RawMessage {
	d.mu.Lock()
	last, text := d.explainedLast, d.explained
	d.mu.Unlock()
	if last == nil {
		return text // of the run before
	}
	return d.encoded(inExplanation, last)
}
