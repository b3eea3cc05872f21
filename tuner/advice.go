package tuner

import (
	"math"
	"math/rand/v2"
	"slices"

	"trimtab/deathstarbench/twin"
	"trimtab/tuner/plan"
	"trimtab/weights"
)

// Advice is what another balancing method would bring for a pool, as the twin plays it: no weights can do what it does.
type Advice struct {
	Method    Method  `json:"method"`
	P99MS     float64 `json:"p99_ms"`     // expected with the best weights under that method
	NowMS     float64 `json:"p99_now_ms"` // expected with the weights wanted now, under the present method
	MeanMS    float64 `json:"mean_ms"`    // likewise
	MeanNowMS float64 `json:"mean_now_ms"`
}

const (
	adviceEvery    = 60.0  // s between two looks at what another method would bring
	adviceKeep     = 0.82  // of what earlier looks count, at the next: five minutes
	adviceLeast    = 0.05  // part of the 99th percentile that it must take off to be said
	adviceRequests = 20000 // simulated for each of the two methods
)

// advise looks, now and then, at what least_conn would bring where a group is balanced by a method that does not go
// by the requests that servers hold. wanted are the settings that the pool would have. In an emergency it keeps to
// what it said.
func (p *pool) advise(t *Tuner, problem *plan.Problem, wanted weights.Set, urgent bool) *Advice {
	at := &p.lookAt
	if t.crowded { // one of all pools looks
		at = &t.lookAt
	}
	if t.elapsed < *at || urgent {
		return p.advice
	}
	*at, p.advice = t.elapsed+adviceEvery, nil
	if p.size() > forecastLinks || !slices.ContainsFunc(problem.Groups,
		func(g plan.Group) bool { return !g.Method.LoadAware() }) {
		return nil
	}
	there := *problem
	there.Groups = slices.Clone(problem.Groups)
	for g := range there.Groups {
		if !there.Groups[g].Method.LoadAware() {
			there.Groups[g].Method = plan.LeastConn
		}
	}
	best, _ := p.settings(there.Solve(there.Proportional()), nil)
	here, ok := p.expect(t, problem, wanted)
	other, ok2 := p.expect(t, &there, best)
	if !ok || !ok2 {
		return nil
	}
	seen := p.seen.add(here.P99.Median, other.P99.Median, here.Mean.Median, other.Mean.Median)
	now, then, mean, meanThen := seen[0], seen[1], seen[2], seen[3]
	if then > (1-adviceLeast)*now || meanThen > mean {
		return nil
	}
	p.advice = &Advice{Method: LeastConn, P99MS: then * 1e3, NowMS: now * 1e3, MeanMS: meanThen * 1e3,
		MeanNowMS: mean * 1e3}
	return p.advice
}

// looks is what was seen at the looks of late: one alone is a matter of chance.
type looks struct {
	weight float64
	logs   [4]float64
}

// add takes in what was seen at a look, in s, and returns the geometric means.
func (v *looks) add(x ...float64) (means [4]float64) {
	v.weight = v.weight*adviceKeep + 1
	for i := range v.logs {
		v.logs[i] += (math.Log(x[i]) - v.logs[i]) / v.weight
		means[i] = math.Exp(v.logs[i])
	}
	return means
}

// expect plays a problem with weights from empty queues, the same worlds every time in one step.
func (p *pool) expect(t *Tuner, problem *plan.Problem, set weights.Set) (twin.Outcome, bool) {
	s := twin.Settings{HorizonSec: forecastSec, Requests: int(t.plays() * adviceRequests), Live: true}
	rng := rand.New(rand.NewPCG(t.cfg.Seed, uint64(t.elapsed)))
	f, err := twin.Expect(p.twin(problem, false), p.weights(set), s, rng)
	return f, err == nil && f.P99.Median > 0
}
