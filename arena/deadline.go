package arena

import (
	"fmt"
	"math"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/weights"
)

// referenceSeed is the seed of runs that belong to no cell: for deadlines and for the oracle's search.
const referenceSeed = 0x7265666572656e63

// Deadlines returns the deadline of every upstream group: the scenario's, or where it leaves one out d = μ + c·σ with
// c = 1 + 1/p, p being the group's priority, and μ and σ the mean and standard deviation of the latencies that
// clients see when nothing is wrong: the twin without faults, least_conn, weights in proportion to capacity. All
// policies are scored with the same deadlines, whatever they learn themselves.
func Deadlines(sc *deathstarbench.Scenario) (map[string]time.Duration, error) {
	out := make(map[string]time.Duration, len(sc.Upstreams))
	missing := false
	for _, u := range sc.Upstreams {
		out[u.Name] = u.Deadline.Std()
		missing = missing || u.Deadline == 0
	}
	if !missing {
		return out, nil
	}
	healthy, err := startingFrom(sc, capacityWeights(sc))
	if err != nil {
		return nil, err
	}
	clean := *healthy
	clean.Faults = nil
	run, err := sim.New(&clean, sim.Options{Seed: referenceSeed, Method: sim.LeastConn, BucketsMsec: []float64{}})
	if err != nil {
		return nil, fmt.Errorf("learn deadlines: %w", err)
	}
	for !run.Done() {
		if _, err := run.Step(); err != nil {
			return nil, fmt.Errorf("learn deadlines: %w", err)
		}
	}
	for i, c := range run.Finish() {
		u := sc.Upstreams[i]
		if u.Deadline > 0 {
			continue
		}
		if c.Latency.Count() == 0 {
			return nil, fmt.Errorf("learn deadlines: upstream %s: no request of %s was answered", u.Name, u.Workload)
		}
		p := u.Priority
		if p == 0 {
			p = 1
		}
		d := c.Latency.Mean().Seconds() + (1+1/p)*c.Latency.Deviation().Seconds()
		out[u.Name] = time.Duration(math.Round(d*1e4) * 1e5) // to 0.1 ms
	}
	return out, nil
}

// capacityWeights are weights in proportion to what each server can take of each workload alone.
func capacityWeights(sc *deathstarbench.Scenario) weights.Set {
	w := weights.Set{}
	for i := range sc.Upstreams {
		u := &sc.Upstreams[i]
		w[u.Name] = settingsOf(u.Servers, weights.Quantise(capacities(sc, u)))
	}
	return w
}

// capacities are the requests per second that each server of a group can take of its workload alone.
func capacities(sc *deathstarbench.Scenario, u *deathstarbench.Upstream) []float64 {
	x := make([]float64, len(u.Servers))
	for j, name := range u.Servers {
		s := sc.Server(name)
		x[j] = float64(s.Slots) / s.Service[u.Workload].Std().Seconds()
	}
	return x
}
