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
	adviceRequests = 20000 // simulated for each of the two methods,
	adviceCrowded  = 0.12  // part of them where pools take turns: one of them looks, with few others planned beside it
)

// advise looks, now and then, at what least_conn would bring where a group is balanced by a method that does not go
// by the requests that servers hold. wanted are the settings that the pool would have. In an emergency it keeps to
// what it said.
func (p *pool) advise(t *Tuner, problem *plan.Problem, wanted weights.Set, urgent bool, seconds float64) *Advice {
	if p.adviceSec -= seconds; p.adviceSec > 0 || urgent {
		return p.advice
	}
	if t.crowded && !t.look {
		return p.advice
	}
	p.adviceSec, p.advice = adviceEvery, nil
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
	t.look, t.lookSec = false, 0
	best, _ := p.settings(there.Solve(there.Proportional()), nil)
	here, ok := p.expect(t, problem, wanted)
	other, ok2 := p.expect(t, &there, best)
	if !ok || !ok2 {
		return nil
	}
	p.seen.add(here.P99.Median, other.P99.Median, here.Mean.Median, other.Mean.Median)
	now, then, mean, meanThen := p.seen.means()
	if then > (1-adviceLeast)*now || meanThen > mean {
		return nil
	}
	p.advice = &Advice{Method: LeastConn, P99MS: then * 1e3, NowMS: now * 1e3, MeanMS: meanThen * 1e3,
		MeanNowMS: mean * 1e3}
	return p.advice
}

// looks are the geometric means of what was seen at the looks of late, s: one look alone is a matter of chance.
type looks struct {
	weight float64
	logs   [4]float64
}

func (v *looks) add(x ...float64) {
	v.weight = v.weight*adviceKeep + 1
	for i := range v.logs {
		v.logs[i] += (math.Log(x[i]) - v.logs[i]) / v.weight
	}
}

func (v *looks) means() (now, then, mean, meanThen float64) {
	return math.Exp(v.logs[0]), math.Exp(v.logs[1]), math.Exp(v.logs[2]), math.Exp(v.logs[3])
}

// expect plays a problem with weights from empty queues, the same worlds every time in one step.
func (p *pool) expect(t *Tuner, problem *plan.Problem, set weights.Set) (twin.Outcome, bool) {
	s := twin.Settings{HorizonSec: forecastSec, Requests: int(t.cfg.Twin * adviceRequests), Live: true}
	if t.crowded {
		s.Requests = int(adviceCrowded * float64(s.Requests))
	}
	if t.cfg.Twin < forecastCrowded {
		s.Samples = twinSamples
	}
	rng := rand.New(rand.NewPCG(t.cfg.Seed, uint64(t.elapsed)))
	f, err := twin.Expect(p.twin(problem, false), p.weights(set), s, rng)
	return f, err == nil && f.P99.Median > 0
}
