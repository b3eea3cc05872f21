package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/orders"
	"trimtab/vts"
	"trimtab/weights"
)

// rampSteps is in how many steps a slow start grows: every step is a change of weights.
const rampSteps = 10

// Orders is where the operator's orders stand.
func (c *Config) Orders() orders.Store {
	return orders.Store{Path: filepath.Join(c.dataDir(), "orders.json")}
}

// mostWeight is the largest weight that the actuator sets.
func (c *Config) mostWeight() int {
	if c.Actuator.Kind == "dns" {
		return dns.MaxWeight
	}
	return nginx.MaxWeight
}

// ordered are what a session knows of orders.
type ordered struct {
	active map[string]bool            // upstreams whose weights are not the tuner's
	seen   map[string]map[string]bool // servers of the last sample that took requests, by upstream
	all    weights.Set                // what the last sample showed, of every upstream
	list   map[string]map[string]orders.Order
	limits map[string]map[string]orders.Limit // in force
}

// see notes what a sample shows before anything is left out of it, gives servers that are new or have returned their
// slow start, and returns the upstreams whose weights follow orders.
func (s *Session) see(sample *vts.Sample, now time.Time) (map[string]bool, error) {
	store := s.cfg.Orders()
	o, err := store.Read()
	if err != nil {
		return nil, err
	}
	all, seen, fresh := weights.Set{}, map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, g := range sample.Groups {
		all[g.Name], seen[g.Name] = weights.Group{}, map[string]bool{}
		before, known := s.orders.seen[g.Name]
		for _, p := range g.Peers {
			if p.Backup {
				continue
			}
			all[g.Name][p.Server] = weights.Setting{Weight: weights.Clamp(p.Weight), Down: p.Down}
			if p.Down {
				continue
			}
			seen[g.Name][p.Server] = true
			if known && !before[p.Server] && s.cfg.SlowStart(g.Name, p.Server) > 0 && !o.Active(g.Name, now) {
				if fresh[g.Name] == nil {
					fresh[g.Name] = map[string]bool{}
				}
				fresh[g.Name][p.Server] = true
			}
		}
	}
	for name, servers := range fresh {
		if len(servers) == len(seen[name]) {
			delete(fresh, name) // everybody is new: nobody to take the load meanwhile
		}
	}
	if len(fresh) > 0 && !s.dry {
		if o, err = store.Update(func(o *orders.Orders) (bool, error) {
			for name, servers := range fresh {
				for server := range servers {
					Give(o, name, server, orders.Order{Since: now, Ramp: s.cfg.SlowStart(name, server),
						By: "slow start"})
				}
			}
			return true, nil
		}); err != nil {
			return nil, err
		}
		for name, servers := range fresh {
			s.log.Info("slow start", "upstream", name, "servers", slices.Sorted(maps.Keys(servers)))
		}
	}
	active := map[string]bool{}
	for name := range o.Upstreams {
		active[name] = true
	}
	for name := range o.Before {
		active[name] = true
	}
	limits := o.InForce(now)
	for name := range limits {
		if limits[name][orders.Every].Keep { // its weights stay as they are
			active[name] = true
		}
	}
	s.mu.Lock()
	for name := range s.alone {
		active[name] = true
	}
	s.orders = ordered{active: active, seen: seen, all: all, list: o.Upstreams, limits: limits}
	s.mu.Unlock()
	return active, nil
}

// Give adds an order.
func Give(o *orders.Orders, upstream, server string, order orders.Order) {
	if o.Upstreams[upstream] == nil {
		o.Upstreams[upstream] = map[string]orders.Order{}
	}
	o.Upstreams[upstream][server] = order
}

// obeyed is a change of an upstream's weights by orders.
type obeyed struct {
	upstream string
	was, now weights.Group
	active   bool // false: its orders are over
}

// enforce makes the weights of upstreams with orders what these say, and returns those whose orders are over to what
// they had before. It reports what it changed.
func (s *Session) enforce(ctx context.Context, now time.Time) (changed []obeyed, err error) {
	store := s.cfg.Orders()
	o, err := store.Read()
	if err != nil || len(o.Upstreams)+len(o.Before) == 0 {
		return nil, err
	}
	s.mu.Lock()
	all := s.orders.all
	s.mu.Unlock()
	names := slices.Sorted(maps.Keys(o.Upstreams))
	for name := range o.Before {
		if o.Upstreams[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		inForce, shown := all[name]
		if !shown {
			continue // the page does not show it
		}
		base, known := o.Before[name]
		if !known {
			base = map[string]orders.Weight{}
			for server, w := range inForce {
				base[server] = orders.Weight{Weight: w.Weight.Int(), Down: w.Down}
			}
			if o, err = store.Update(func(o *orders.Orders) (bool, error) {
				o.Before[name] = base
				return true,
					nil
			}); err != nil {
				return changed, err
			}
		}
		// Servers that have come since have what NGINX shows, those that have gone go.
		base = maps.Clone(base)
		maps.DeleteFunc(base, func(server string, _ orders.Weight) bool { _, there := inForce[server]; return !there })
		for server, w := range inForce {
			if _, known := base[server]; !known {
				base[server] = orders.Weight{Weight: w.Weight.Int()}
			}
		}
		active := o.Active(name, now)
		want := base
		if active {
			if want, err = s.shaped(name, base, o, now); err != nil {
				return changed, fmt.Errorf("orders for upstream %q: %w", name, err)
			}
		}
		did, err := s.obey(ctx, name, want)
		if err != nil {
			return changed, err
		}
		if did {
			made := obeyed{upstream: name, was: inForce, now: weights.Group{}, active: active}
			for server, w := range want {
				made.now[server] = weights.Setting{Weight: weights.Clamp(w.Weight), Down: w.Down}
			}
			changed = append(changed, made)
		}
		if !active {
			if o, err = store.Update(func(o *orders.Orders) (bool, error) {
				if o.Active(name, now) {
					return false, nil // given meanwhile
				}
				delete(o.Before, name)
				delete(o.Upstreams, name)
				return true, nil
			}); err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}

// shaped are the weights that orders and limits make of base.
func (s *Session) shaped(name string, base map[string]orders.Weight, o *orders.Orders,
	now time.Time) (map[string]orders.Weight, error) {
	limits := s.cfg.limits(name, o.InForce(now)[name], slices.Collect(maps.Keys(base)))
	want, err := orders.Shape(base, stepped(o.Upstreams[name], now), limits, s.cfg.mostWeight(), now)
	if errors.Is(err, orders.ErrLimits) {
		s.log.Debug("limits of shares are kept as far as they can be", "upstream", name, "error", err)
		err = nil
	}
	return want, err
}

// stepped lets ramps grow in steps.
func stepped(list map[string]orders.Order, now time.Time) map[string]orders.Order {
	out := maps.Clone(list)
	for server, o := range out {
		if o.Ramp > 0 {
			step := o.Ramp / rampSteps
			o.Since = now.Add(-now.Sub(o.Since).Truncate(step))
			out[server] = o
		}
	}
	return out
}

// obey sets the weights of one upstream unless they are in force.
func (s *Session) obey(ctx context.Context, name string, want map[string]orders.Weight) (bool, error) {
	settings := make(map[string]nginx.Setting, len(want))
	for server, w := range want {
		settings[server] = nginx.Setting{Weight: w.Weight, Down: w.Down}
	}
	r, err := s.hand.order(ctx, nginx.Settings{name: settings})
	if err == nil && r.Changed {
		s.change = &pageAfter{at: time.Now(), reloaded: r.Reloaded, before: s.generation}
	}
	return r.Changed, err
}

// obey puts in force what is ordered of single servers.
func (d *Service) obey(ctx context.Context, s *Session) {
	changed, err := s.enforce(ctx, time.Now())
	d.trouble(troubleOrders, err)
	if err != nil {
		d.log.Error("orders are not in force", "error", err)
	}
	if len(changed) > 0 {
		var names []string
		for _, c := range changed {
			names = append(names, c.upstream)
		}
		d.log.Info("weights set as ordered", "upstreams", names)
		d.noteOrders(s, changed)
	}
}
