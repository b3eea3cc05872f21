package main

import (
	"fmt"
	"slices"
	"strings"

	"trimtab/deathstarbench"
	"trimtab/tuner"
)

// policyNames are the choosers that work on a testbed.
func policyNames() []string { return []string{"tuned", "l3", "equal", "random"} }

// newPolicy returns the policy of that name for the scenario.
func newPolicy(name string, seed uint64, sc *deathstarbench.Scenario) (tuner.Policy, error) {
	switch name {
	case "equal":
		return tuner.NewEqual(), nil
	case "l3", "tuned":
		return tuner.NewL3(tuner.L3Config{})
	case "random":
		return tuner.NewRandom(seed), nil
	}
	if slices.Contains(policyNames(), name) {
		return nil, fmt.Errorf("policy %s is not wired for scenario %s", name, sc.Name)
	}
	return nil, fmt.Errorf("policy %q: want one of %s", name, strings.Join(policyNames(), ", "))
}
