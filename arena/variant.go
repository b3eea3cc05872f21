package arena

import (
	"errors"
	"maps"
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// Shorten returns the scenario cut off after the given time; what begins later is left out.
func Shorten(sc *deathstarbench.Scenario, duration time.Duration) (*deathstarbench.Scenario, error) {
	if duration <= sc.Warmup.Std() {
		return nil, errors.New("scenario " + sc.Name + ": nothing is left after the warm-up of " +
			sc.Warmup.Std().String())
	}
	if duration >= sc.Duration.Std() {
		return sc, nil
	}
	c := *sc
	c.Duration = deathstarbench.Duration(duration)
	c.Loads = slices.Clone(sc.Loads)
	for i := range c.Loads {
		c.Loads[i].Phases = slices.DeleteFunc(slices.Clone(c.Loads[i].Phases), func(p deathstarbench.Phase) bool {
			return p.At >= c.Duration
		})
	}
	c.Loads = slices.DeleteFunc(c.Loads, func(l deathstarbench.Traffic) bool { return len(l.Phases) == 0 })
	c.Faults = slices.DeleteFunc(slices.Clone(sc.Faults), func(f deathstarbench.Fault) bool {
		return f.At >= c.Duration
	})
	for i := range c.Faults {
		c.Faults[i].Until = min(c.Faults[i].Until, c.Duration)
	}
	return &c, nil
}

// Dilate returns the scenario with every time multiplied and every rate divided by the factor: the same queues, only
// slower. What the machine adds to a response of the testbed counts that much less.
func Dilate(sc *deathstarbench.Scenario, factor float64) *deathstarbench.Scenario {
	stretch := func(d *deathstarbench.Duration) { *d = deathstarbench.Duration(float64(*d) * factor) }
	all := func(m map[string]deathstarbench.Duration) map[string]deathstarbench.Duration {
		m = maps.Clone(m)
		for k, d := range m {
			stretch(&d)
			m[k] = d
		}
		return m
	}
	c := *sc
	stretch(&c.Duration)
	stretch(&c.Warmup)
	stretch(&c.ControlInterval)
	stretch(&c.Timeout)
	c.Servers = slices.Clone(sc.Servers)
	for i := range c.Servers {
		s := &c.Servers[i]
		s.Service, s.Distance = all(s.Service), all(s.Distance)
		stretch(&s.NetworkDelay)
	}
	c.Upstreams = slices.Clone(sc.Upstreams)
	for i := range c.Upstreams {
		stretch(&c.Upstreams[i].Deadline)
	}
	c.Loads = slices.Clone(sc.Loads)
	for i := range c.Loads {
		c.Loads[i].Phases = slices.Clone(c.Loads[i].Phases)
		for j := range c.Loads[i].Phases {
			p := &c.Loads[i].Phases[j]
			stretch(&p.At)
			p.Rate /= factor
		}
	}
	c.Faults = slices.Clone(sc.Faults)
	for i := range c.Faults {
		f := &c.Faults[i]
		for _, d := range []*deathstarbench.Duration{&f.At, &f.Until, &f.Latency, &f.Delay} {
			stretch(d)
		}
	}
	return &c
}
