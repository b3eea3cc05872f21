package arena

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/sim"
	"trimtab/weights"
)

// search is a pattern search (Hooke and Jeeves 1961) over the logarithms of all weights of a steady scenario: each is
// tried a step up and a step down, what lowers the cost is kept, and when nothing does the step shrinks. All points
// are played with the same seeds (common random numbers), so that differences are not noise. Servers that are alike
// move together; where groups are small they then also move alone.
type search struct {
	c     Case
	sc    *deathstarbench.Scenario
	seeds []uint64
	best  float64
	x     [][]float64 // by group and server, logarithms
	moves [][][]int   // by group: sets of servers that move together
}

// The length of a search's runs: long enough for this many requests, within these bounds.
const (
	searchRequests = 12_000
	searchShortest = 12 * time.Second
	searchLongest  = 300 * time.Second
	searchWarmup   = 3 * time.Second
)

// bestWeights searches the best static weights of a phase; near are weights to begin at beside those in proportion
// to capacity.
func bestWeights(ctx context.Context, c Case, p Phase, near weights.Set) (weights.Set, error) {
	total := 0.0
	for _, r := range p.Rates {
		total += r
	}
	duration := searchLongest
	if total > 0 {
		duration = time.Duration(math.Min(float64(searchLongest), math.Max(float64(searchShortest),
			searchRequests/total*1e9)))
	}
	s := &search{c: c, sc: p.steady(c.Scenario, duration+searchWarmup, searchWarmup), seeds: []uint64{referenceSeed,
		referenceSeed + 1}, best: math.Inf(1)}
	starts := [][][]float64{s.byCapacity(1), s.byCapacity(1.3), s.byCapacity(0)}
	if near != nil {
		starts = append(starts, s.logarithms(near))
	}
	for _, x := range starts {
		cost, err := s.cost(ctx, x)
		if err != nil {
			return nil, err
		}
		if cost < s.best {
			s.best, s.x = cost, x
		}
	}
	s.moves = s.alike()
	for _, factor := range []float64{2, 1.4, 1.15} {
		for {
			improved, err := s.sweep(ctx, math.Log(factor))
			if err != nil {
				return nil, err
			}
			if !improved {
				break
			}
		}
	}
	return s.weights(s.x), nil
}

// sweep tries every weight a step up and down.
func (s *search) sweep(ctx context.Context, step float64) (improved bool, err error) {
	before := s.best
	for g := range s.x {
		if len(s.x[g]) < 2 {
			continue
		}
		for _, together := range s.moves[g] {
			for _, d := range []float64{step, -step} {
				x := clone(s.x)
				for _, i := range together {
					x[g][i] += d
				}
				cost, err := s.cost(ctx, x)
				if err != nil {
					return false, err
				}
				if cost < s.best {
					s.best, s.x = cost, x
					break
				}
			}
		}
	}
	return s.best < 0.998*before, nil
}

// smallGroup is up to which size of a group its servers also move alone.
const smallGroup = 4

// alike returns for every group the sets of its servers that do not differ but by name, and for small groups each
// server alone too.
func (s *search) alike() [][][]int {
	profile := func(name string) string {
		c := *s.sc.Server(name)
		c.Name = ""
		text := fmt.Sprint(c)
		for _, f := range s.sc.Faults {
			if f.Server == name {
				f.Server = ""
				text += fmt.Sprint(f)
			}
		}
		return text
	}
	out := make([][][]int, len(s.sc.Upstreams))
	for g, u := range s.sc.Upstreams {
		sets := map[string][]int{}
		for i, name := range u.Servers {
			p := profile(name)
			sets[p] = append(sets[p], i)
		}
		done := map[string]bool{}
		for _, name := range u.Servers {
			p := profile(name)
			if set := sets[p]; !done[p] && len(set) < len(u.Servers) {
				out[g] = append(out[g], set)
			}
			done[p] = true
		}
		if len(u.Servers) <= smallGroup && len(done) < len(u.Servers) {
			for i := range u.Servers {
				out[g] = append(out[g], []int{i})
			}
		}
	}
	return out
}

func clone(x [][]float64) [][]float64 {
	c := make([][]float64, len(x))
	for i := range x {
		c[i] = slices.Clone(x[i])
	}
	return c
}

// byCapacity weighs by capacity to the given power.
func (s *search) byCapacity(power float64) [][]float64 {
	x := make([][]float64, len(s.sc.Upstreams))
	for g := range s.sc.Upstreams {
		x[g] = capacities(s.sc, &s.sc.Upstreams[g])
		for i := range x[g] {
			x[g][i] = power * math.Log(x[g][i])
		}
	}
	return x
}

func (s *search) logarithms(w weights.Set) [][]float64 {
	x := make([][]float64, len(s.sc.Upstreams))
	for g, u := range s.sc.Upstreams {
		for _, name := range u.Servers {
			x[g] = append(x[g], math.Log(float64(w[u.Name][name].Weight.Int())))
		}
	}
	return x
}

func (s *search) weights(x [][]float64) weights.Set {
	w := weights.Set{}
	for g, u := range s.sc.Upstreams {
		shares := make([]float64, len(x[g]))
		largest := slices.Max(x[g])
		for i, v := range x[g] {
			shares[i] = math.Exp(v - largest)
		}
		w[u.Name] = settingsOf(u.Servers, weights.Quantise(shares))
	}
	return w
}

// cost plays the weights with every seed and returns the mean cost.
func (s *search) cost(ctx context.Context, x [][]float64) (float64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	sc, err := startingFrom(s.sc, s.weights(x))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, seed := range s.seeds {
		run, err := sim.New(sc, sim.Options{Seed: seed, Method: sim.Method(s.c.Method), Deadlines: s.c.Deadlines,
			Interval: sc.Duration.Std(), BucketsMsec: []float64{}})
		if err != nil {
			return 0, err
		}
		if _, err := run.Step(); err != nil {
			return 0, err
		}
		r := Results{}
		for _, g := range run.Finish() {
			r.Requests += g.Requests
			r.Tardiness += g.Tardiness
			r.Groups = append(r.Groups, GroupResult{Upstream: g.Group, Requests: g.Requests, Latency: &g.Latency})
		}
		sum += r.cost(s.c.Deadlines)
	}
	return sum / float64(len(s.seeds)), nil
}
