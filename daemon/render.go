package daemon

import (
	"context"
	"maps"
	"time"

	"trimtab/weights"
)

// What is done when a generator (consul-template, confd, Ansible) renders the configuration with the operator's
// weights.
const (
	renderKeep    = "keep learned" // the learned weights are put in force again
	renderNewBase = "new base"     // as when a person edits: the tuner begins from the operator's weights
	renderHold    = "hold"         // the upstream is left alone from then on
)

// renderWindow and renderMany say when renders are told to be regular: so many within the time.
const (
	renderWindow = 10 * time.Minute
	renderMany   = 3
)

// renders are what a daemon knows of configurations that come back with the operator's weights.
type renders struct {
	at    map[string][]time.Time // of the last ones, by upstream
	said  map[string]bool
	again weights.Set // learned weights to put in force again
}

// rendered reports whether what looks like an edit of an upstream is a render: its servers have the operator's weights
// again, all of them. moved says that servers came or went with it: then what was learned of the others is kept
// whatever on_render says, since nobody has touched their weights.
func (d *Service) rendered(s *Session, name string, base, ours, now weights.Group, moved bool) bool {
	if !maps.Equal(base, now) {
		return false
	}
	r, answer := &d.renders, s.cfg.Nginx.OnRender
	if r.at == nil {
		r.at, r.said, r.again = map[string][]time.Time{}, map[string]bool{}, weights.Set{}
	}
	at := time.Now()
	recent := r.at[name][:0]
	for _, t := range r.at[name] {
		if at.Sub(t) < renderWindow {
			recent = append(recent, t)
		}
	}
	r.at[name] = append(recent, at)
	if len(r.at[name]) >= renderMany && !r.said[name] {
		r.said[name] = true
		d.log.Warn("something renders NGINX's configuration again and again with the weights of before: "+
			"nginx.on_render "+
			"says what is done then", "upstream", name, "times", len(r.at[name]), "within", renderWindow, "on_render",
			answer)
	}
	switch {
	case moved || answer == renderKeep:
		r.again[name] = maps.Clone(ours)
		return true
	case answer == renderHold:
		s.leaveAlone(name)
	}
	return false
}

// reassert puts learned weights in force again that a render has replaced.
func (d *Service) reassert(ctx context.Context, s *Session) {
	if len(d.renders.again) == 0 || d.hold(ctx, s) != "" {
		return
	}
	want := weights.Set{}
	s.mu.Lock()
	for name, ours := range d.renders.again {
		if len(s.orders.all[name]) > 0 && s.orders.all[name].SameServers(ours) {
			want[name] = ours
		}
	}
	s.mu.Unlock()
	d.renders.again = weights.Set{}
	if len(want) == 0 {
		return // the servers have changed once more: what is kept follows in the next step
	}
	if _, err := s.hand.put(ctx, want, nil); err != nil {
		d.log.Warn("what was learned is not in force again after a render", "error", err)
		maps.Copy(d.renders.again, want)
		return
	}
	d.log.Info("what was learned is in force again after a render", "upstreams", len(want))
}

// leaveAlone takes an upstream out of the tuning until the daemon's configuration is read again.
func (s *Session) leaveAlone(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone == nil {
		s.alone = map[string]bool{}
	}
	s.alone[name] = true
}
