package arena

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// Pair names two policies in rows: one with something changed, and the same as it is.
type Pair struct{ Changed, AsItIs string }

// Change is one part that is set to something else, in one policy or several.
type Change struct {
	Part  string // what is changed, such as a parameter
	To    string // what it is changed to
	Pairs []Pair
}

// Effect is what a change does: what comes out with it divided by what comes out as it is, with the same seeds in the
// same worlds. Every world counts once, as the geometric mean over its seeds and pairs.
type Effect struct {
	Change
	P99     Estimate // geometric mean over worlds, interval by bootstrap over worlds; so are the others
	ART     Estimate // with artFloor added to both sides
	Reloads Estimate // with one added to both sides
	ByPair  []Estimate
	Kinds   []KindEffect // by kind of world and pair, those where it matters most first
	Failed  int          // cells with the change that could not be played
}

// KindEffect is what a change does to the p99 of one policy in the worlds of a kind.
type KindEffect struct {
	Kind, Policy string
	P99          Estimate // geometric mean over worlds, interval by Student's t
	// Sure: 1 is outside the interval that is made wider for so many kinds being looked at (Bonferroni).
	Sure bool
}

const (
	artFloor    = 1e-3 // deadlines per request: differences far below it matter to nobody
	leastOfKind = 3    // worlds from which a kind is told of
	dispensable = 0.01 // relative difference of p99 below which a part brings nothing
)

// Ablate compares every change with what it is a change of. kinds are the kinds of every world by the name of its
// scenario.
func Ablate(rows []Row, failures []*CellError, changes []Change, kinds map[string][]string) []Effect {
	at := make(map[cellKey]Row, len(rows))
	seeds := map[string][]uint64{}
	var scenarios []string
	for _, r := range rows {
		at[cellKey{r.Scenario, r.Policy, r.Seed}] = r
		scenarios = with(scenarios, r.Scenario)
		if !slices.Contains(seeds[r.Scenario], r.Seed) {
			seeds[r.Scenario] = append(seeds[r.Scenario], r.Seed)
		}
	}
	out := make([]Effect, len(changes))
	for i, change := range changes {
		e := &out[i]
		e.Change, e.ByPair = change, make([]Estimate, len(change.Pairs))
		var p99, art, reloads []float64     // by world
		own := map[int][]float64{}          // p99 by pair and world
		byKind := map[[2]string][]float64{} // p99 by kind and policy
		for _, scenario := range scenarios {
			var all logs
			for j, pair := range change.Pairs {
				var l logs
				for _, seed := range seeds[scenario] {
					l.add(at, cellKey{scenario, pair.Changed, seed}, cellKey{scenario, pair.AsItIs, seed})
				}
				if len(l.p99) == 0 {
					continue
				}
				mean := math.Exp(stat.Mean(l.p99, nil))
				own[j] = append(own[j], mean)
				for _, kind := range kinds[scenario] {
					byKind[[2]string{kind, pair.AsItIs}] = append(byKind[[2]string{kind, pair.AsItIs}], mean)
				}
				all.append(l)
			}
			if len(all.p99) > 0 {
				p99 = append(p99, math.Exp(stat.Mean(all.p99, nil)))
				art = append(art, math.Exp(stat.Mean(all.art, nil)))
				reloads = append(reloads, math.Exp(stat.Mean(all.reloads, nil)))
			}
		}
		e.P99, e.ART = bootstrap(p99, bootstrapSeed), bootstrap(art, bootstrapSeed)
		e.Reloads = bootstrap(reloads, bootstrapSeed)
		for j := range change.Pairs {
			e.ByPair[j] = bootstrap(own[j], bootstrapSeed)
		}
		e.rank(byKind)
		for _, f := range failures {
			if slices.ContainsFunc(change.Pairs, func(p Pair) bool { return p.Changed == f.Policy }) {
				e.Failed++
			}
		}
	}
	return out
}

// logs are logarithms of ratios.
type logs struct{ p99, art, reloads []float64 }

// add takes in one seed when both were played.
func (l *logs) add(at map[cellKey]Row, changed, asItIs cellKey) {
	a, played := at[changed]
	b, too := at[asItIs]
	if !played || !too || !(a.LatencyMS.P99 > 0) || !(b.LatencyMS.P99 > 0) {
		return
	}
	l.p99 = append(l.p99, math.Log(a.LatencyMS.P99/b.LatencyMS.P99))
	l.art = append(l.art, math.Log((a.ARTPerRequest+artFloor)/(b.ARTPerRequest+artFloor)))
	l.reloads = append(l.reloads, math.Log(float64(a.Reloads+1)/float64(b.Reloads+1)))
}

func (l *logs) append(m logs) {
	l.p99, l.art, l.reloads = append(l.p99, m.p99...), append(l.art, m.art...), append(l.reloads, m.reloads...)
}

// rank fills Kinds: what is sure before what may be chance, then by how far from 1 the ratio is.
func (e *Effect) rank(byKind map[[2]string][]float64) {
	told := 0
	for _, x := range byKind {
		if len(x) >= leastOfKind {
			told++
		}
	}
	for key, x := range byKind {
		if len(x) < leastOfKind {
			continue
		}
		wide := ratioAt(x, 0.05/float64(told))
		sure := wide.Low > 1 || wide.High < 1
		e.Kinds = append(e.Kinds, KindEffect{Kind: key[0], Policy: key[1], P99: ratioAt(x, 0.05), Sure: sure})
	}
	rank := func(k KindEffect) (sure int, size float64) {
		if k.Sure {
			sure = 1
		}
		return sure, math.Abs(math.Log(k.P99.Mean))
	}
	slices.SortFunc(e.Kinds, func(a, b KindEffect) int {
		as, al := rank(a)
		bs, bl := rank(b)
		return cmp.Or(cmp.Compare(bs, as), cmp.Compare(bl, al), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Policy, b.Policy))
	})
}

// ratioAt is the geometric mean of x with the interval that leaves alpha outside.
func ratioAt(x []float64, alpha float64) Estimate {
	l := make([]float64, len(x))
	for i, v := range x {
		l[i] = math.Log(v)
	}
	e := estimateAt(l, alpha)
	return Estimate{Mean: math.Exp(e.Mean), Low: math.Exp(e.Low), High: math.Exp(e.High), N: e.N}
}

// Most is the kind of world in which the change matters most; false: there are too few worlds of any kind, or it
// matters in none.
func (e *Effect) Most() (KindEffect, bool) {
	if len(e.Kinds) == 0 || e.Kinds[0].P99.Mean == 1 {
		return KindEffect{}, false
	}
	return e.Kinds[0], true
}

// Dispensable reports whether the change costs less than a hundredth of p99 in the mean of all worlds and surely more
// in no kind of them: a part that can be changed so, off above all, brings nothing.
func (e *Effect) Dispensable() bool {
	worse := func(k KindEffect) bool { return k.Sure && k.P99.Mean > 1+dispensable }
	return e.P99.N > 0 && e.P99.Mean < 1+dispensable && !slices.ContainsFunc(e.Kinds, worse)
}
