package arena

import (
	"context"
	"fmt"
	"math"
	"slices"

	"trimtab/deathstarbench"
)

// The tolerances within which the twin is said to tell the truth, for worlds whose busiest server is below
// ValidUtilisation.
const (
	MeanTolerance    = 0.10 // of the mean latency, relative
	P99Tolerance     = 0.15 // of the 99th percentile, relative
	ShareTolerance   = 0.02 // of the share of a server, absolute: of 2,000 requests a share is itself uncertain by 0.01
	ValidUtilisation = 0.85
)

// Validation compares one policy over one scenario in the simulator and on the testbed, with the same arrivals.
type Validation struct {
	Scenario string `json:"scenario"`
	Policy   string `json:"policy"`
	Seed     uint64 `json:"seed"`
	// Utilisation is that of the busiest server in the busiest phase, by the shares that the servers got in the
	// simulator.
	Utilisation float64 `json:"max_utilisation"`
	Sim         Row     `json:"sim"`
	Testbed     Row     `json:"testbed"`
	// MeanError and P99Error are the simulator's figure divided by the testbed's, less 1.
	MeanError float64 `json:"mean_error"`
	P50Error  float64 `json:"p50_error"`
	P99Error  float64 `json:"p99_error"`
	// ShareError is the largest difference of the share of a server in its group, absolute.
	ShareError float64 `json:"share_error"`
	// Within says whether all is within the tolerances; above ValidUtilisation nothing is promised.
	Within   bool `json:"within"`
	Promised bool `json:"promised"`
}

// Validate plays the policy over the scenario in both worlds.
func Validate(ctx context.Context, sc *deathstarbench.Scenario, p Policy, seed uint64, twin, real World) (Validation,
	error) {
	v := Validation{Scenario: sc.Name, Policy: p.Name, Seed: seed}
	if err := checkScenario(sc); err != nil {
		return v, err
	}
	deadlines, err := Deadlines(sc)
	if err != nil {
		return v, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	c := Case{Scenario: sc, Method: p.Method, Seed: seed, Deadlines: deadlines}
	if v.Sim, _, _, err = playCell(ctx, twin, "sim", c, p); err == nil {
		v.Testbed, _, _, err = playCell(ctx, real, "testbed", c, p)
	}
	if err != nil {
		return v, &CellError{Scenario: sc.Name, Policy: p.Name, Seed: seed, Err: err}
	}
	v.Utilisation = busiest(sc, v.Sim)
	s, t := v.Sim.LatencyMS, v.Testbed.LatencyMS
	v.MeanError, v.P50Error, v.P99Error = s.Mean/t.Mean-1, s.P50/t.P50-1, s.P99/t.P99-1
	for i, g := range v.Sim.Groups {
		for server, share := range g.Shares {
			v.ShareError = math.Max(v.ShareError, math.Abs(share-v.Testbed.Groups[i].Shares[server]))
		}
	}
	v.Promised = v.Utilisation < ValidUtilisation
	v.Within = math.Abs(v.MeanError) <= MeanTolerance && math.Abs(v.P99Error) <= P99Tolerance &&
		v.ShareError <= ShareTolerance
	return v, nil
}

// busiest is the highest utilisation of a server in any phase, by the shares that the servers got.
func busiest(sc *deathstarbench.Scenario, row Row) float64 {
	weights := map[string][]int{}
	for i, u := range sc.Upstreams {
		for _, server := range u.Servers {
			weights[u.Name] = append(weights[u.Name], int(math.Round(1e6*row.Groups[i].Shares[server])))
		}
	}
	top := 0.0
	for _, p := range Phases(sc) {
		top = math.Max(top, slices.Max(sc.Utilisation(p.From, weights)))
	}
	return top
}
