package arena

import (
	"fmt"

	"trimtab/objective"
	"trimtab/pursuit"
	"trimtab/tuner"
	"trimtab/tuner/load"
)

// NewPursuit returns the policy that pursues the objective of a scenario with the controls that the scenario allows. It
// knows of the servers what an operator's configuration would say: methods, bounds, limits and the capacity in force.
func NewPursuit(c Case) (*pursuit.Policy, error) {
	o, err := objective.New(c.Scenario.Spec())
	if err != nil {
		return nil, fmt.Errorf("scenario %s: objective: %w", c.Scenario.Name, err)
	}
	groups := map[string]tuner.GroupConfig{}
	for _, u := range c.Scenario.Upstreams {
		m := tuner.Method(u.Method)
		if c.Method != "" {
			m = tuner.Method(c.Method)
		}
		if m != tuner.RoundRobin && !m.LoadAware() {
			m = tuner.LeastConn
		}
		groups[u.Name] = tuner.GroupConfig{Method: m, Deadline: c.Deadlines[u.Name], Priority: u.Priority}
	}
	return pursuit.New(pursuit.Config{
		Objective: o, Admission: c.Scenario.Blockable(), Scaling: c.Scenario.Scalable(),
		Units: StartingLevels(c.Scenario).Capacity,
		Tuner: tuner.Config{Groups: groups, Seed: c.Seed, Unlimited: true,
			Regimes: load.RegimeConfig{Observe: -1}},
		Search: pursuit.Options{Seed: c.Seed ^ believedSeed, Interval: c.Scenario.ControlInterval.Std()},
	})
}

// believedSeed keeps the requests that a policy imagines apart from those of the yardstick.
const believedSeed = 0x9a11
