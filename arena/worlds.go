package arena

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Thresholds are the ratios of p99 of which a Comparison tells the share of worlds above.
func Thresholds() []float64 { return []float64{1.02, 1.05, 2} }

// WorldRatio is what a policy's p99 is to the baseline's in one world: geometric means over the seeds that both played.
type WorldRatio struct {
	World         string  `json:"world"` // name of the scenario
	Ratio         float64 `json:"p99_ratio"`
	P99MS         float64 `json:"p99_ms"`
	BaselineP99MS float64 `json:"baseline_p99_ms"`
	Seeds         int     `json:"seeds"`
}

// Comparison is a policy against a baseline over many worlds, each of which counts once.
type Comparison struct {
	Policy, Baseline string
	P99Ratio         Estimate     // geometric mean over worlds, interval by bootstrap over worlds
	Above            []float64    // share of the worlds above each of Thresholds
	Worlds           []WorldRatio // the worst first
	ChangesPerHour   float64      // reloads by the policy's decisions, mean over cells
	Cells, Failed    int          // of the policy: played, and those that could not be
}

// bootstrapSeed makes the same rows give the same intervals.
const bootstrapSeed = 1

// CompareWorlds compares every policy with every baseline, in that order of nesting; a policy is left out against
// itself. Each scenario of the rows is one world.
func CompareWorlds(rows []Row, failures []*CellError, policies, baselines []string) []Comparison {
	type cell struct {
		scenario, policy string
		seed             uint64
	}
	at := make(map[cell]Row, len(rows))
	var scenarios []string
	seeds := map[string][]uint64{}
	for _, r := range rows {
		at[cell{r.Scenario, r.Policy, r.Seed}] = r
		scenarios = with(scenarios, r.Scenario)
		if !slices.Contains(seeds[r.Scenario], r.Seed) {
			seeds[r.Scenario] = append(seeds[r.Scenario], r.Seed)
		}
	}
	var out []Comparison
	for _, baseline := range baselines {
		for _, policy := range policies {
			if policy == baseline {
				continue
			}
			c := Comparison{Policy: policy, Baseline: baseline}
			c.count(rows, failures)
			for _, scenario := range scenarios {
				var mine, theirs []float64
				for _, seed := range seeds[scenario] {
					a, ok1 := at[cell{scenario, policy, seed}]
					b, ok2 := at[cell{scenario, baseline, seed}]
					if ok1 && ok2 && a.LatencyMS.P99 > 0 && b.LatencyMS.P99 > 0 {
						mine, theirs = append(mine, a.LatencyMS.P99), append(theirs, b.LatencyMS.P99)
					}
				}
				if len(mine) > 0 {
					p, q := stat.GeometricMean(mine, nil), stat.GeometricMean(theirs, nil)
					c.Worlds = append(c.Worlds, WorldRatio{World: scenario, Ratio: p / q, P99MS: p, BaselineP99MS: q, Seeds: len(mine)})
				}
			}
			c.summarise()
			out = append(out, c)
		}
	}
	return out
}

func (c *Comparison) count(rows []Row, failures []*CellError) {
	changes := 0.0
	for _, r := range rows {
		if r.Policy == c.Policy {
			c.Cells++
			changes += float64(r.Reloads) / (r.DurationSec / 3600)
		}
	}
	if c.Cells > 0 {
		c.ChangesPerHour = changes / float64(c.Cells)
	}
	for _, f := range failures {
		if f.Policy == c.Policy {
			c.Failed++
		}
	}
}

func (c *Comparison) summarise() {
	ratios := make([]float64, len(c.Worlds))
	for i, w := range c.Worlds {
		ratios[i] = w.Ratio
	}
	c.P99Ratio = bootstrap(ratios, bootstrapSeed)
	for _, threshold := range Thresholds() {
		above := 0
		for _, r := range ratios {
			if r > threshold {
				above++
			}
		}
		c.Above = append(c.Above, float64(above)/max(1, float64(len(ratios))))
	}
	slices.SortStableFunc(c.Worlds, func(a, b WorldRatio) int { return cmp.Compare(b.Ratio, a.Ratio) })
}
