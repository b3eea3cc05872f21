package arena

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// LeaderCell is one cell of a leaderboard: a row, and how long the policy took to decide.
type LeaderCell struct {
	Row
	DecisionUS float64 `json:"decision_us"` // median of Observe and Choose together, µs
	Build      string  `json:"build"`       // of the program that played it
}

// Stopwatch takes the time that policies need to decide, by the name of the policy, scenario and seed.
type Stopwatch struct {
	mu    sync.Mutex
	timed map[cellKey]*timedPolicy
}

// NewStopwatch returns one that has timed nothing.
func NewStopwatch() *Stopwatch { return &Stopwatch{timed: map[cellKey]*timedPolicy{}} }

// timedPolicy is a policy under the stopwatch.
type timedPolicy struct {
	control.Policy
	observing time.Duration   // of the Observe before
	decisions []time.Duration // of Observe and Choose
}

func (t *timedPolicy) Observe(s vts.Sample, w weights.Set) {
	began := time.Now()
	t.Policy.Observe(s, w)
	t.observing = time.Since(began)
}

func (t *timedPolicy) Choose() control.Decision {
	began := time.Now()
	d := t.Policy.Choose()
	t.decisions = append(t.decisions, t.observing+time.Since(began))
	t.observing = 0
	return d
}

// startingTimed also says which weights a run begins with.
type startingTimed struct {
	*timedPolicy
	Starter
}

// Time puts a policy under the stopwatch.
func (s *Stopwatch) Time(p Policy) Policy {
	make := p.New
	p.New = func(ctx context.Context, c Case) (control.Policy, error) {
		policy, err := make(ctx, c)
		if err != nil {
			return nil, err
		}
		t := &timedPolicy{Policy: policy}
		s.mu.Lock()
		s.timed[cellKey{c.Scenario.Name, p.Name, c.Seed}] = t
		s.mu.Unlock()
		if starter, ok := policy.(Starter); ok {
			return startingTimed{t, starter}, nil
		}
		return t, nil
	}
	return p
}

// Cell is a finished row with its decision time.
func (s *Stopwatch) Cell(r Row) LeaderCell {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := LeaderCell{Row: r}
	if t := s.timed[cellKey{r.Scenario, r.Policy, r.Seed}]; t != nil && len(t.decisions) > 0 {
		slices.Sort(t.decisions)
		c.DecisionUS = float64(t.decisions[len(t.decisions)/2].Nanoseconds()) / 1e3
	}
	return c
}

// Leader is what a leaderboard says of one policy.
type Leader struct {
	Policy string `json:"policy"`
	// P99Ratio is p99 ÷ that of the floor with the same arrivals: geometric mean over the worlds, with the 95 %
	// interval over seeds.
	P99Ratio   Estimate            `json:"p99_ratio"`
	P99MS      map[string]Estimate `json:"p99_ms"` // by world
	ART        Estimate            `json:"art_per_request"`
	ErrorRatio Estimate            `json:"error_ratio"`
	Changes    Estimate            `json:"changes_per_minute"`
	DecisionUS float64             `json:"decision_us"`
	// Against is P99Ratio ÷ that of the reference, seed by seed, and P the two-sided probability of a difference at
	// least as large when there is none (paired t-test of logarithms), corrected for the number of comparisons by
	// Holm's method.
	Against Estimate `json:"against_reference"`
	P       float64  `json:"p_holm"`
}

// Significant reports whether the policy differs from the reference at 5 %.
func (l *Leader) Significant() bool { return l.Against.N > 1 && l.P < 0.05 }

// Leaders sums up cells: every policy against the floor, and against the reference. Only seeds on which a policy, the
// floor and the reference played all worlds count. The best comes first.
func Leaders(cells []LeaderCell, floor, reference string) []Leader {
	type at struct {
		policy, scenario string
		seed             uint64
	}
	by := map[at]*LeaderCell{}
	var policies, worlds []string
	var seeds []uint64
	for i := range cells {
		c := &cells[i]
		by[at{c.Policy, c.Scenario, c.Seed}] = c
		policies, worlds = with(policies, c.Policy), with(worlds, c.Scenario)
		if !slices.Contains(seeds, c.Seed) {
			seeds = append(seeds, c.Seed)
		}
	}
	slices.Sort(seeds)
	// logs are the means over worlds of log p99 ÷ the floor's, by seed; NaN: not all were played.
	logs := func(policy string) []float64 {
		out := make([]float64, len(seeds))
		for i, seed := range seeds {
			for _, w := range worlds {
				mine, theirs := by[at{policy, w, seed}], by[at{floor, w, seed}]
				if mine == nil || theirs == nil || !(mine.LatencyMS.P99 > 0) || !(theirs.LatencyMS.P99 > 0) {
					out[i] = math.NaN()
					break
				}
				out[i] += math.Log(mine.LatencyMS.P99/theirs.LatencyMS.P99) / float64(len(worlds))
			}
		}
		return out
	}
	ours := logs(reference)
	var out []Leader
	for _, policy := range policies {
		l := Leader{Policy: policy, P99MS: map[string]Estimate{}, P: 1}
		mine := logs(policy)
		var known, differences []float64
		for i, v := range mine {
			if !math.IsNaN(v) {
				known = append(known, v)
				if !math.IsNaN(ours[i]) {
					differences = append(differences, v-ours[i])
				}
			}
		}
		l.P99Ratio = exponential(estimate(known))
		if policy != reference {
			l.Against, l.P = exponential(estimate(differences)), tTest(differences)
		}
		l.fill(cells, worlds)
		out = append(out, l)
	}
	holm(out, reference)
	slices.SortStableFunc(out, func(a, b Leader) int { return compare(a.P99Ratio.Mean, b.P99Ratio.Mean) })
	return out
}

// fill sums up what is told of the policy beside the ratio.
func (l *Leader) fill(cells []LeaderCell, worlds []string) {
	bySeed := map[uint64][]*LeaderCell{}
	decisions, n := 0.0, 0
	for i := range cells {
		if c := &cells[i]; c.Policy == l.Policy {
			bySeed[c.Seed] = append(bySeed[c.Seed], c)
			decisions += c.DecisionUS
			n++
		}
	}
	l.DecisionUS = decisions / float64(max(n, 1))
	mean := func(of func(*LeaderCell) float64) Estimate {
		var x []float64
		for _, all := range bySeed {
			sum := 0.0
			for _, c := range all {
				sum += of(c) / float64(len(all))
			}
			x = append(x, sum)
		}
		slices.Sort(x) // of a map: so that sums are the same each time
		return estimate(x)
	}
	l.ART = mean(func(c *LeaderCell) float64 { return c.ARTPerRequest })
	l.ErrorRatio = mean(func(c *LeaderCell) float64 { return c.ErrorRatio })
	l.Changes = mean(func(c *LeaderCell) float64 { return float64(c.Reloads) / (c.DurationSec / 60) })
	for _, w := range worlds {
		var x []float64
		for _, c := range cells {
			if c.Policy == l.Policy && c.Scenario == w {
				x = append(x, c.LatencyMS.P99)
			}
		}
		l.P99MS[w] = estimate(x)
	}
}

func exponential(e Estimate) Estimate {
	if e.N == 0 {
		return e
	}
	return Estimate{Mean: math.Exp(e.Mean), Low: math.Exp(e.Low), High: math.Exp(e.High), N: e.N}
}

// tTest is the two-sided probability of a mean at least as far from 0 when it is 0; 1 with fewer than two values.
func tTest(x []float64) float64 {
	if len(x) < 2 {
		return 1
	}
	mean, dev := stat.MeanStdDev(x, nil)
	if dev == 0 {
		if mean == 0 {
			return 1
		}
		return 0
	}
	t := math.Abs(mean) / (dev / math.Sqrt(float64(len(x))))
	return 2 * distuv.StudentsT{Sigma: 1, Nu: float64(len(x) - 1)}.Survival(t)
}

// holm corrects the probabilities for the number of comparisons (Holm 1979): the k-th smallest of m is multiplied by
// m−k+1, and is no less than the one before.
func holm(all []Leader, reference string) {
	var order []int
	for i := range all {
		if all[i].Policy != reference {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return compare(all[a].P, all[b].P) })
	least := 0.0
	for k, i := range order {
		least = max(least, min(1, all[i].P*float64(len(order)-k)))
		all[i].P = least
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
