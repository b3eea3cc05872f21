package main

import (
	"fmt"

	"trimtab/arena"
)

// choosers returns everyone who may choose weights, by the name that --policy takes.
func choosers(cache *arena.OracleCache) map[string]arena.NewPolicy {
	c := arena.Choosers(cache)
	c["tuned"] = c["l3"]
	return c
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
