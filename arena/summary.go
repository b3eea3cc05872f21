package arena

import (
	"cmp"
	"slices"
	"strings"
)

// Summary is what all seeds together say about one policy on one scenario.
type Summary struct {
	Scenario, Policy, World string
	Seeds                   int
	MeanMS, P50MS           Estimate
	P90MS, P99MS            Estimate
	ART, ErrorRatio         Estimate
	Reloads, Regret         Estimate // Regret.N is 0 without an oracle
	// To90Pct is the median of the intervals that closing 90 % of the gap took; Closed is in how many seeds it was.
	To90Pct float64
	Closed  int
	// P99Ratio and ARTDifference compare with the baseline, seed by seed; N is 0 where the baseline was not played.
	P99Ratio      Estimate
	ARTDifference Estimate

	// Objective is that of the scenario, empty: it names none. Held and the like are by upstream, as in ObjectiveRow.
	Objective                        string
	Reward, ShareOfOptimal, Capacity Estimate
	Held, HeldWhereOptimal, Carried  map[string]Estimate
}

// Summarise groups rows by scenario, world and policy, in the order in which they first occur, and compares each
// policy with the baseline policy on the same scenario, world and seeds.
func Summarise(rows []Row, baseline string) []Summary {
	type key struct{ scenario, world, policy string }
	groups := map[key][]Row{}
	var keys []key
	for _, r := range rows {
		k := key{r.Scenario, r.World, r.Policy}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], r)
	}
	out := make([]Summary, 0, len(keys))
	for _, k := range keys {
		g := groups[k]
		slices.SortFunc(g, func(a, b Row) int { return cmp.Compare(a.Seed, b.Seed) })
		s := Summary{Scenario: k.scenario, World: k.world, Policy: k.policy, Seeds: len(g)}
		s.MeanMS = estimate(column(g, func(r Row) float64 { return r.LatencyMS.Mean }))
		s.P50MS = estimate(column(g, func(r Row) float64 { return r.LatencyMS.P50 }))
		s.P90MS = estimate(column(g, func(r Row) float64 { return r.LatencyMS.P90 }))
		s.P99MS = estimate(column(g, func(r Row) float64 { return r.LatencyMS.P99 }))
		s.ART = estimate(column(g, func(r Row) float64 { return r.ARTPerRequest }))
		s.ErrorRatio = estimate(column(g, func(r Row) float64 { return r.ErrorRatio }))
		s.Reloads = estimate(column(g, func(r Row) float64 { return float64(r.Reloads) }))
		var regret, to90 []float64
		for _, r := range g {
			if r.RegretVsOracle != nil {
				regret = append(regret, *r.RegretVsOracle)
			}
			if r.IntervalsTo90Pct != nil {
				to90 = append(to90, float64(*r.IntervalsTo90Pct))
			}
		}
		s.Regret, s.Closed = estimate(regret), len(to90)
		if len(to90) > 0 {
			slices.Sort(to90)
			s.To90Pct = to90[len(to90)/2]
		}
		var mine, theirs []Row
		for _, r := range g {
			for _, b := range groups[key{k.scenario, k.world, baseline}] {
				if b.Seed == r.Seed {
					mine, theirs = append(mine, r), append(theirs, b)
				}
			}
		}
		p99 := func(r Row) float64 { return r.LatencyMS.P99 }
		art := func(r Row) float64 { return r.ARTPerRequest }
		s.P99Ratio = ratio(column(mine, p99), column(theirs, p99))
		s.ARTDifference = difference(column(mine, art), column(theirs, art))
		s.pursue(g)
		out = append(out, s)
	}
	return out
}

// pursue sums up the scores by the objective of a scenario.
func (s *Summary) pursue(rows []Row) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Objective == nil })
	if len(rows) == 0 {
		return
	}
	s.Objective = rows[0].Objective.Kind
	s.Reward = estimate(column(rows, func(r Row) float64 { return r.Objective.Reward }))
	s.Capacity = estimate(column(rows, func(r Row) float64 { return r.Objective.Capacity }))
	beside := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Objective.ShareOfOptimal == nil })
	s.ShareOfOptimal = estimate(column(beside, func(r Row) float64 { return *r.Objective.ShareOfOptimal }))
	s.Held, s.HeldWhereOptimal, s.Carried = map[string]Estimate{}, map[string]Estimate{}, map[string]Estimate{}
	for name := range rows[0].Objective.Held {
		s.Held[name] = estimate(column(rows, func(r Row) float64 { return r.Objective.Held[name] }))
		s.Carried[name] = estimate(column(rows, func(r Row) float64 { return r.Objective.Carried[name] }))
		where := slices.DeleteFunc(slices.Clone(beside), func(r Row) bool {
			_, held := r.Objective.HeldWhereOptimal[name]
			return !held
		})
		s.HeldWhereOptimal[name] = estimate(column(where, func(r Row) float64 {
			return r.Objective.HeldWhereOptimal[name]
		}))
	}
}

func column(rows []Row, of func(Row) float64) []float64 {
	x := make([]float64, len(rows))
	for i, r := range rows {
		x[i] = of(r)
	}
	return x
}

// SortPolicies puts the names of policies into the order in which tables list them: those on the scenario's method,
// then by method; what knows nothing first, the oracle last.
func SortPolicies(names []string) {
	choosers := []string{"start", "equal", "capacity", "random", "region-aware", "l3", "grid", "tuned", "tuned-eject",
		"oracle"}
	methods := []string{"", "round_robin", "least_conn"}
	rank := func(name string) (method, chooser int) {
		m, c, ok := strings.Cut(name, "/")
		switch {
		case !ok && isMethod(name):
			c = "equal"
		case !ok:
			m, c = "", name
		}
		place := func(list []string, v string) int {
			if i := slices.Index(list, v); i >= 0 {
				return i
			}
			return len(list)
		}
		return place(methods, m), place(choosers, c)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		am, ac := rank(a)
		bm, bc := rank(b)
		return cmp.Or(cmp.Compare(am, bm), cmp.Compare(ac, bc), cmp.Compare(a, b))
	})
}

// SortRows puts rows into the order scenario, policy, seed, with scenarios and policies as they are listed; what is in
// neither list comes last.
func SortRows(rows []Row, scenarios, policies []string) {
	place := func(list []string, name string) int {
		if i := slices.Index(list, name); i >= 0 {
			return i
		}
		return len(list)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(place(scenarios, a.Scenario), place(scenarios, b.Scenario)),
			cmp.Compare(a.Scenario, b.Scenario),
			cmp.Compare(place(policies, a.Policy), place(policies, b.Policy)), cmp.Compare(a.Policy, b.Policy),
			cmp.Compare(a.Seed, b.Seed),
		)
	})
}
