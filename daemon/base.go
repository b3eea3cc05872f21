package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"trimtab/control"
	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
	"trimtab/weights"
)

// account keeps the state up to date: how long was observed, whose weights are in force.
func (d *Service) account(s *Session, sample *vts.Sample, out control.Outcome, e *tuner.Explanation) {
	if d.state.Observed < time.Duration(s.cfg.ObserveFirst) {
		d.state.Observed += sample.Interval
	}
	inForce := control.InForce(*sample)
	if d.state.Base == nil {
		d.state.Base = weights.Set{}
	}
	operator := operatorEdited(e)
	for name, now := range inForce {
		base, known := d.state.Base[name]
		ours, set := d.state.LastGood[name]
		moved := known && !base.SameServers(now)
		edited := operator || e == nil || !d.based || moved
		follow(base, now)
		follow(ours, now)
		// What the tuner did not leave behind after an edit, or at the start, is the operator's.
		if mine := set && ours.Equal(now); !known || edited && !mine {
			if known && d.proof.put(base, now) {
				continue
			}
			if known && set && d.rendered(s, name, base, ours, now, moved) {
				continue
			}
			if known && !base.Equal(now) {
				d.edits++
				d.noteEdit(weights.Set{name: before(ours, base)}, weights.Set{name: now})
			}
			d.state.Base[name] = maps.Clone(now)
			delete(d.state.LastGood, name)
		}
	}
	d.based = true
	d.mu.Lock()
	d.inForce, d.base = inForce, d.state.Base.Clone()
	d.mu.Unlock()
	if out.Applied {
		if d.state.LastGood == nil {
			d.state.LastGood = weights.Set{}
		}
		maps.Copy(d.state.LastGood, out.Decision.Weights.Clone())
	}
}

// follow makes settings that are kept have the servers that are there now: those that have gone go, those that came
// have what the operator gave them.
func follow(kept, now weights.Group) {
	if kept == nil {
		return
	}
	maps.DeleteFunc(kept, func(server string, _ weights.Setting) bool { _, there := now[server]; return !there })
	for server, setting := range now {
		if _, known := kept[server]; !known {
			kept[server] = setting
		}
	}
}

// putBack returns to the operator's weights.
func (d *Service) putBack(ctx context.Context) error {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if len(d.state.LastGood) == 0 {
		return nil // nothing of ours is in force
	}
	now, err := s.root.Standing(ctx, false)
	if err != nil {
		return err
	}
	if told := d.told(now); told != "" {
		d.log.Warn("the operator's weights are not restored: changes are held", "reason", told)
		return nil
	}
	standing, err := s.hand.standing(ctx)
	if err != nil {
		return err
	}
	base := weights.Set{}
	for name := range d.state.LastGood {
		for server := range standing[name] { // those that are still there
			if was, ok := d.state.Base[name][server]; ok {
				if base[name] == nil {
					base[name] = weights.Group{}
				}
				base[name][server] = was
			}
		}
	}
	r, err := patiently(ctx, func() (control.Receipt, error) { return s.hand.put(ctx, base, nil) })
	if err != nil {
		return fmt.Errorf("restore the operator's weights: %w", err)
	}
	d.log.Info("the operator's weights are restored", "changed", r.Changed)
	d.state.LastGood = nil
	return nil
}

// patiently waits out refusals that pass by themselves, as that of the reload budget right after a change, as long as
// ctx has time for it: at the end there is no next step that could try again.
func patiently(ctx context.Context, apply func() (control.Receipt, error)) (control.Receipt, error) {
	for {
		r, err := apply()
		refusal := (*nginx.Refusal)(nil)
		if !errors.As(err, &refusal) || refusal.RetryAfter <= 0 {
			return r, err
		}
		wait := max(refusal.RetryAfter, 100*time.Millisecond)
		if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(wait):
		}
	}
}

// before is what was in force before an edit: what the tuner had set, or else the operator's weights.
func before(ours, base weights.Group) weights.Group {
	if ours != nil {
		return ours
	}
	return base
}
