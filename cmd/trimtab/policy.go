package main

import (
	"context"
	"fmt"
	"maps"

	"trimtab/arena"
	"trimtab/control"
	"trimtab/objective"
	"trimtab/rival"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/tuner/params"
)

// choosers returns everyone who may choose weights, by the name that --policy takes.
func choosers(cache *arena.OracleCache) map[string]arena.NewPolicy {
	c := arena.Choosers(cache)
	maps.Copy(c, tuners())
	maps.Copy(c, learned(arena.Models{Dir: modelsFolder("")}))
	c["knapsack"] = func(context.Context, arena.Case) (control.Policy, error) {
		return rival.NewKnapsack(rival.KnapsackConfig{})
	}
	c["rollout"], c["rollout-1"] = rollout(2, nil), rollout(1, nil)
	c["rollout-start"] = rollout(2, func(context.Context, arena.Case) (control.Policy, error) {
		return &rival.Hold{}, nil
	})
	c["fleet"] = arena.NewShared(c["tuned"])
	c["grid"] = func(_ context.Context, k arena.Case) (control.Policy, error) {
		return rival.NewGrid(rival.GridConfig{Groups: targets(k), Seed: k.Seed})
	}
	return c
}

// learned are the choosers that play models of a folder, and those that look ahead with one of them as their base,
// which adapts what was learned without training it again.
func learned(models arena.Models) map[string]arena.NewPolicy {
	c := models.Choosers()
	for _, kind := range []string{rival.KindDQN, rival.KindTD3} {
		c["rollout-"+kind] = rollout(2, c[kind])
	}
	return c
}

// rollout makes policies that look so many intervals ahead with a base policy, nil: L3.
func rollout(steps int, base arena.NewPolicy) arena.NewPolicy {
	return func(ctx context.Context, k arena.Case) (control.Policy, error) {
		c := rival.RolloutConfig{Steps: steps, Groups: groupConfigs(k), Seed: k.Seed}
		if base != nil {
			p, err := base(ctx, k)
			if err != nil {
				return nil, err
			}
			c.Base = p.(rival.Base) // all that are given here are
		}
		return rival.NewRollout(c)
	}
}

// chooserEject is the name of the tuner that ejects failing servers.
const chooserEject = "tuned-eject"

// tuners are the choosers that are the tuner.
func tuners() map[string]arena.NewPolicy {
	off := load.RegimeConfig{Observe: -1}
	return map[string]arena.NewPolicy{
		"tuned": tuned(nil, false, load.RegimeConfig{}), chooserEject: tuned(nil, true, load.RegimeConfig{}),
		noRegimes: tuned(nil, false, off),
	}
}

// tuned makes tuners with the parameters given; nil: the defaults.
func tuned(p *params.Params, eject bool, regimes load.RegimeConfig) arena.NewPolicy {
	return func(_ context.Context, k arena.Case) (control.Policy, error) {
		return tuner.New(tuner.Config{
			Groups: groupConfigs(k), Seed: k.Seed, Params: p,
			EjectIdle: true, Eject: eject, // as the daemon does by default, or always
			Regimes: regimes, Unlimited: k.FreeChanges,
		})
	}
}

// groupConfigs tells a tuner what an operator's configuration would: method, deadline and priority of every group.
func groupConfigs(k arena.Case) map[string]tuner.GroupConfig {
	groups := make(map[string]tuner.GroupConfig, len(k.Scenario.Upstreams))
	for _, u := range k.Scenario.Upstreams {
		method := u.Method
		if k.Method != "" {
			method = k.Method
		}
		g := tuner.GroupConfig{Deadline: k.Deadlines[u.Name], Priority: u.Priority}
		switch m := tuner.Method(method); {
		case m.LoadAware():
			g.Method = m
		case m != tuner.RoundRobin: // the others go by requests in flight, as least_conn does
			g.Method = tuner.LeastConn
		}
		groups[u.Name] = g
	}
	return groups
}

// targets are the deadlines and priorities of every group.
func targets(k arena.Case) map[string]objective.Target {
	out := make(map[string]objective.Target, len(k.Scenario.Upstreams))
	for _, u := range k.Scenario.Upstreams {
		out[u.Name] = objective.Target{Deadline: k.Deadlines[u.Name], Priority: u.Priority}
	}
	return out
}

// parsePolicy reads one policy as --policy of run takes it: chooser, or method/chooser.
func parsePolicy(name string) (arena.Policy, error) {
	policies, err := arena.ParsePolicies(name, choosers(arena.NewOracleCache("")))
	if err != nil {
		return arena.Policy{}, err
	}
	if len(policies) != 1 {
		return arena.Policy{}, fmt.Errorf("--policy %s: want one policy", name)
	}
	return policies[0], nil
}
