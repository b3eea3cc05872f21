package fleet

import (
	"maps"
	"time"

	"trimtab/control"
	"trimtab/weights"
)

// blend is what is in force over all nodes as one set of weights, kept while no node changes its weights: loads that
// vary are no edit.
type blend struct {
	of  map[string]weights.Set // by node
	set weights.Set
}

// inForce is what the policy is told: the plan, where nodes that carry at least half of a group's load follow it, else
// the mean of the shares that nodes have in force, by load.
func (c *Centre) inForce(parts []Part) weights.Set {
	now := make(map[string]weights.Set, len(parts))
	for i := range parts {
		now[parts[i].Node] = parts[i].Sample.InForce()
	}
	if maps.EqualFunc(now, c.blended.of, weights.Set.Equal) {
		return c.blended.set
	}
	// some follow already: that is on its way, and nobody's edit
	if c.pending != nil && sameServers(now, c.blended.set) {
		return c.blended.set
	}
	type sum struct{ load, follow float64 }
	sums, shares := map[string]*sum{}, map[string]map[string]float64{}
	down := map[string]map[string]bool{}
	for i := range parts {
		for j := range parts[i].Sample.Groups {
			g := &parts[i].Sample.Groups[j]
			load := 1e-9 // without load all nodes count alike
			for _, r := range g.Requests {
				load += float64(r) * parts[i].Scale
			}
			if sums[g.Name] == nil {
				sums[g.Name], shares[g.Name], down[g.Name] = &sum{}, map[string]float64{}, map[string]bool{}
			}
			own := now[parts[i].Node][g.Name]
			sums[g.Name].load += load
			if own.Equal(c.plan.Weights[g.Name]) {
				sums[g.Name].follow += load
			}
			for server, share := range own.Shares() {
				if _, seen := shares[g.Name][server]; !seen {
					down[g.Name][server] = true
				}
				shares[g.Name][server] += load * share
				down[g.Name][server] = down[g.Name][server] && own[server].Down
			}
		}
	}
	set := weights.Set{}
	for name, s := range sums {
		if want := c.plan.Weights[name]; want != nil && s.follow >= s.load/2 && len(want) == len(shares[name]) {
			set[name] = want
			continue
		}
		servers := sortedKeys(shares[name])
		v := make([]float64, len(servers))
		for i, server := range servers {
			v[i] = shares[name][server]
		}
		set[name] = weights.Group{}
		for i, w := range weights.Quantise(v) {
			set[name][servers[i]] = weights.Setting{Weight: w, Down: down[name][servers[i]]}
		}
	}
	c.blended = blend{of: now, set: set}
	return set
}

// sameServers reports whether nodes have the groups and servers of a set, and no others.
func sameServers(nodes map[string]weights.Set, set weights.Set) bool {
	groups := 0
	for name, g := range set {
		servers := map[string]bool{}
		for _, own := range nodes {
			for server := range own[name] {
				if _, known := g[server]; !known {
					return false
				}
				servers[server] = true
			}
		}
		if len(servers) != len(g) {
			return false
		}
		groups++
	}
	for _, own := range nodes {
		for name := range own {
			if set[name] == nil {
				return false
			}
		}
	}
	return groups > 0
}

// A decision counts as carried out when nodes of so much of the load follow it; when they do not for so many intervals,
// it was not.
const (
	enoughFollow = 0.5
	patience     = 5
)

func (c *Centre) confirm(parts []Part, now time.Time) {
	if c.pending == nil {
		return
	}
	load, follow := 0.0, 0.0
	for i := range parts {
		own := parts[i].Sample.InForce()
		rate := c.nodes[parts[i].Node].ratePerSec + 1e-9
		load += rate
		if c.follows(parts[i].Node, own) {
			follow += rate
		}
	}
	switch {
	case follow >= enoughFollow*load:
		c.policy.Committed(control.Receipt{Want: c.pending.want, Changed: true, At: now,
			Took: now.Sub(c.pending.since)})
		c.pending = nil
	case now.Sub(c.pending.since) > patience*c.cfg.Interval:
		c.pending = nil
	}
}

// follows reports whether settings in force are what is pending for the node.
func (c *Centre) follows(name string, own weights.Set) bool {
	n := c.nodes[name]
	for group, want := range c.pending.want {
		if g := own[group]; g != nil && !g.Equal(within(want, n.hello.Shares[group])) {
			return false
		}
	}
	return true
}
