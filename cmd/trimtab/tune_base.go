package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"trimtab/nginx"
	"trimtab/tuner"
	"trimtab/vts"
)

// account keeps the state up to date: how long was observed, whose weights are in force.
func (d *service) account(s *session, sample *vts.Sample, out tuner.Outcome, e *tuner.Explanation) {
	if d.state.Observed < time.Duration(s.cfg.ObserveFirst) {
		d.state.Observed += sample.Interval
	}
	inForce := tuner.InForce(*sample)
	if d.state.Base == nil {
		d.state.Base = tuner.Weights{}
	}
	operator := false
	if e != nil {
		for _, p := range e.Pools {
			for _, b := range p.Bounds {
				operator = operator || b == tuner.BoundOperator
			}
		}
	}
	for name, now := range inForce {
		base, known := d.state.Base[name]
		ours, set := d.state.LastGood[name]
		moved := known && !sameKeys(base, now)
		edited := operator || e == nil || !d.based || !sameKeys(base, now)
		follow(base, now)
		follow(ours, now)
		// What the tuner did not leave behind after an edit, or at the start, is the operator's.
		if mine := set && maps.Equal(ours, now); !known || edited && !mine {
			if known && set && d.rendered(s, name, base, ours, now, moved) {
				continue
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
			d.state.LastGood = tuner.Weights{}
		}
		maps.Copy(d.state.LastGood, out.Decision.Weights.Clone())
	}
}

func sameKeys(a, b map[string]tuner.Setting) bool {
	return maps.EqualFunc(a, b, func(tuner.Setting, tuner.Setting) bool { return true })
}

// follow makes settings that are kept have the servers that are there now: those that have gone go, those that came have what
// the operator gave them.
func follow(kept, now map[string]tuner.Setting) {
	if kept == nil {
		return
	}
	maps.DeleteFunc(kept, func(server string, _ tuner.Setting) bool { _, there := now[server]; return !there })
	for server, setting := range now {
		if _, known := kept[server]; !known {
			kept[server] = setting
		}
	}
}

// putBack returns to the operator's weights.
func (d *service) putBack(ctx context.Context) error {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if len(d.state.LastGood) == 0 {
		return nil // nothing of ours is in force
	}
	if told := d.told(s); told != "" {
		d.log.Warn("the operator's weights are not restored: changes are held", "reason", told)
		return nil
	}
	cfg, err := &nginx.Config{}, error(nil)
	if s.cfg.Nginx.Config != "" {
		cfg, err = nginx.ReadConfig(s.cfg.Nginx.Config)
	}
	if err != nil {
		return withCode(exitConfig, err)
	}
	base := tuner.Weights{}
	if s.cfg.Nginx.Config == "" {
		for name := range d.state.LastGood {
			base[name] = d.state.Base[name]
		}
	}
	for _, u := range cfg.Upstreams { // those that are still there
		if _, ours := d.state.LastGood[u.Name]; !ours {
			continue
		}
		if s.dns != nil { // its servers do not stand in the file
			base[u.Name] = d.state.Base[u.Name]
			continue
		}
		for _, p := range u.Peers {
			if was, ok := d.state.Base[u.Name][p.Label()]; ok {
				if base[u.Name] == nil {
					base[u.Name] = map[string]tuner.Setting{}
				}
				base[u.Name][p.Label()] = was
			}
		}
	}
	r, err := patiently(ctx, func() (tuner.Receipt, error) { return s.put(ctx, base, nil) })
	if err != nil {
		return fmt.Errorf("restore the operator's weights: %w", err)
	}
	d.log.Info("the operator's weights are restored", "changed", r.Changed)
	d.state.LastGood = nil
	return nil
}

// patiently waits out refusals that pass by themselves, as that of the reload budget right after a change, as long as ctx has time
// for it: at the end there is no next step that could try again.
func patiently(ctx context.Context, apply func() (tuner.Receipt, error)) (tuner.Receipt, error) {
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
