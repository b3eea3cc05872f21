package testbed

import (
	"fmt"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
	"trimtab/deathstarbench/sim"
	"trimtab/loadgen"
	"trimtab/loadgen/arrival"
)

// Workloads returns the load of the scenario against the social network at url for the given time: the last phase
// holds when the scenario is shorter. Requests are due exactly when the simulator's are for the same seed.
func Workloads(sc *deathstarbench.Scenario, url string, duration time.Duration, seed uint64) ([]loadgen.Workload,
	error) {
	var out []loadgen.Workload
	for i := range sc.Loads {
		l := &sc.Loads[i]
		points := make([]arrival.Point, len(l.Phases))
		for j, p := range l.Phases {
			points[j] = arrival.Point{At: p.At.Std(), Rate: p.Rate}
		}
		rate, err := arrival.Steps(points...)
		if err != nil {
			return nil, fmt.Errorf("load %d of scenario %s: %w", i+1, sc.Name, err)
		}
		targets, err := targeter(sc, l.Workload, url, seed+uint64(i))
		if err != nil {
			return nil, err
		}
		out = append(out, loadgen.Workload{
			Name:     l.Workload,
			Targeter: targets,
			Bursts: []loadgen.Burst{{
				Arrival: arrival.Spec{Kind: arrival.Kind(l.Arrival)}, Rate: rate, Seed: sim.ArrivalSeed(seed, i),
				Duration: duration,
			}},
		})
	}
	return out, nil
}

// targeter makes the requests of a workload: one of the scenario's own or of the social network.
func targeter(sc *deathstarbench.Scenario, workload, url string, seed uint64) (vegeta.Targeter, error) {
	if own := sc.Own(workload); own != nil {
		return requests.NewOwnTargeter(own, url, seed)
	}
	return requests.NewTargeter(workload, url,
		requests.TargetOptions{FirstUser: deathstarbench.DefaultFirstUser, Seed: seed})
}
