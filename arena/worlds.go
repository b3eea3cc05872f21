package arena

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Thresholds are the ratios of p99 of which a Comparison tells the share of worlds above.
func Thresholds() []float64 { return []float64{1.02, 1.05, 2} }

// WorldRatio is what a policy's p99 is to the baseline's in one world: geometric means over the seeds that both
// played. Requests that fail fast make p99 low, so errors stand beside it: the share of failed requests, mean over
// the same seeds.
type WorldRatio struct {
	World         string  `json:"world"` // name of the scenario
	Ratio         float64 `json:"p99_ratio"`
	P99MS         float64 `json:"p99_ms"`
	BaselineP99MS float64 `json:"baseline_p99_ms"`
	// ARTRatio is the same of the tardiness per request, with artFloor added to both sides.
	ARTRatio       float64 `json:"art_ratio"`
	Errors         float64 `json:"error_ratio"`
	BaselineErrors float64 `json:"baseline_error_ratio"`
	Seeds          int     `json:"seeds"`
}

// Comparison is a policy against a baseline over many worlds, each of which counts once.
type Comparison struct {
	Policy, Baseline string
	P99Ratio         Estimate     // geometric mean over worlds, interval by bootstrap over worlds
	ARTRatio         float64      // geometric mean over worlds
	Above            []float64    // share of the worlds above each of Thresholds
	Worlds           []WorldRatio // the worst first
	Errors           float64      // share of failed requests, mean over worlds
	BaselineErrors   float64
	ChangesPerHour   float64 // reloads by the policy's decisions, mean over cells
	Cells, Failed    int     // of the policy: played, and those that could not be
}

// bootstrapSeed makes the same rows give the same intervals.
const bootstrapSeed = 1

// cellKey names one cell.
type cellKey struct {
	scenario, policy string
	seed             uint64
}

// CompareWorlds compares every policy with every baseline, in that order of nesting; a policy is left out against
// itself. Each scenario of the rows is one world.
func CompareWorlds(rows []Row, failures []*CellError, policies, baselines []string) []Comparison {
	at := make(map[cellKey]Row, len(rows))
	var scenarios []string
	seeds := map[string][]uint64{}
	for _, r := range rows {
		at[cellKey{r.Scenario, r.Policy, r.Seed}] = r
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
				var mine, theirs []Row
				for _, seed := range seeds[scenario] {
					a, played := at[cellKey{scenario, policy, seed}]
					b, too := at[cellKey{scenario, baseline, seed}]
					if played && too && a.LatencyMS.P99 > 0 && b.LatencyMS.P99 > 0 {
						mine, theirs = append(mine, a), append(theirs, b)
					}
				}
				if len(mine) > 0 {
					c.Worlds = append(c.Worlds, worldRatio(scenario, mine, theirs))
				}
			}
			c.summarise()
			out = append(out, c)
		}
	}
	return out
}

// worldRatio compares rows of the same seeds.
func worldRatio(world string, mine, theirs []Row) WorldRatio {
	p99 := func(r Row) float64 { return r.LatencyMS.P99 }
	errors := func(r Row) float64 { return r.ErrorRatio }
	w := WorldRatio{
		World: world, Seeds: len(mine),
		P99MS: stat.GeometricMean(column(mine, p99), nil), BaselineP99MS: stat.GeometricMean(column(theirs, p99), nil),
		Errors: stat.Mean(column(mine, errors), nil), BaselineErrors: stat.Mean(column(theirs, errors), nil),
	}
	w.Ratio = w.P99MS / w.BaselineP99MS
	art := func(r Row) float64 { return r.ARTPerRequest + artFloor }
	w.ARTRatio = stat.GeometricMean(column(mine, art), nil) / stat.GeometricMean(column(theirs, art), nil)
	return w
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
	n := max(1, float64(len(c.Worlds)))
	ratios, arts := make([]float64, len(c.Worlds)), make([]float64, len(c.Worlds))
	for i, w := range c.Worlds {
		ratios[i], arts[i] = w.Ratio, w.ARTRatio
		c.Errors += w.Errors / n
		c.BaselineErrors += w.BaselineErrors / n
	}
	c.P99Ratio = bootstrap(ratios, bootstrapSeed)
	if len(arts) > 0 {
		c.ARTRatio = stat.GeometricMean(arts, nil)
	}
	for _, threshold := range Thresholds() {
		above := 0
		for _, r := range ratios {
			if r > threshold {
				above++
			}
		}
		c.Above = append(c.Above, float64(above)/n)
	}
	slices.SortStableFunc(c.Worlds, func(a, b WorldRatio) int { return cmp.Compare(b.Ratio, a.Ratio) })
}
