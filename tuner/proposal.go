package tuner

import (
	"fmt"
	"math"
)

// Proposal is one way to choose the weights of a pool: an action of the learner.
type Proposal int

// The proposals. Whole weight vectors, not steps: what each means follows the model and the load.
const (
	Base     Proposal = iota // what was in force when the tuner began, or what an operator set
	Recall                   // the best vector kept for this regime
	ByL3                     // inverse latency, the formula of the L3 controller
	Loose                    // the model's optimum, hardly pulled towards work-conserving shares
	Balanced                 // the same, pulled
	Tight                    // the same, pulled hard: nearly work-conserving
	Shift                    // a fifth of the costliest server's share to the cheapest
	Even                     // equal shares
	proposals
)

var proposalNames = [proposals]string{"base", "recall", "l3", "model-loose", "model-balanced", "model-tight", "shift", "equal"}

func (p Proposal) String() string {
	if p < 0 || p >= proposals {
		return fmt.Sprintf("proposal(%d)", int(p))
	}
	return proposalNames[p]
}

// pulls are the pulls τ of the three model proposals.
var pulls = map[Proposal]float64{Loose: 1, Balanced: 4, Tight: 16}

// looseFrom is how nearly every server must have been seen without waiting before the model may part the classes.
const looseFrom = 0.3

// candidate is one proposal worked out for the present load.
type candidate struct {
	proposal  Proposal
	x         [][]float64 // shares by group and link
	cost      float64     // predicted cost per second, deadlines
	score     float64     // what the learner makes of it; lower is better
	bounds    []Bound
	unlimited bool // not subject to the step limit: it was in force before
}

// propose works out the candidates for a pool; now are the shares served in the last interval.
func (t *Tuner) propose(p *pool, now [][]float64, mem *regimeMemory, safe bool) []candidate {
	var out []candidate
	add := func(kind Proposal, x [][]float64) {
		out = append(out, candidate{proposal: kind, x: cloneMatrix(x)})
	}
	if safe || p.large {
		add(Tight, p.planner.solve(pulls[Tight]))
		return out
	}
	least := 1.0
	for _, st := range p.stations {
		least = math.Min(least, st.alone())
	}
	for _, kind := range [...]Proposal{Tight, Balanced, Loose} {
		if least < looseFrom && kind != Tight {
			continue // speeds seen only through waiting are not known well enough to part classes by them
		}
		add(kind, p.planner.solve(pulls[kind]))
	}
	if best := mem.best(p); best != nil {
		out = append(out, candidate{proposal: Recall, x: best, unlimited: true})
	}
	if least >= looseFrom {
		add(ByL3, p.byL3())
		add(Shift, p.shifted(now))
	}
	add(Even, p.even())
	return out
}

func cloneMatrix(src [][]float64) [][]float64 {
	out := make([][]float64, len(src))
	for g := range src {
		out[g] = append([]float64(nil), src[g]...)
	}
	return out
}

// byL3 gives the shares of the L3 formula over the latencies of the last interval.
func (p *pool) byL3() [][]float64 {
	x := matrix(p.groups)
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			if !l.off() {
				x[g][i] = l3Weight(l.recent(), 1-l.errors, 0.6)
				sum += x[g][i]
			}
		}
		normalise(x[g], sum)
	}
	return x
}

// recent is the mean response time of the last interval, or the fitted service time without one.
func (l *link) recent() float64 {
	if l.latency > 0 {
		return l.latency
	}
	return l.station.serviceOf(l.pos)
}

func normalise(x []float64, sum float64) {
	for i := range x {
		if sum > 0 {
			x[i] /= sum
		} else {
			x[i] = 1 / float64(len(x))
		}
	}
}

// even gives equal shares to what is not down.
func (p *pool) even() [][]float64 {
	x := matrix(p.groups)
	for g, grp := range p.groups {
		sum := 0.0
		for i, l := range grp.links {
			if !l.off() {
				x[g][i] = 1
				sum++
			}
		}
		normalise(x[g], sum)
	}
	return x
}

// shiftBy is the part of the costliest server's share that Shift moves.
const shiftBy = 0.2

// shifted moves a fifth of the share of the server with the highest marginal cost to the one with the lowest, in
// every group.
func (p *pool) shifted(now [][]float64) [][]float64 {
	x := cloneMatrix(now)
	p.planner.cost(x, p.planner.headroom, 0, true)
	for g, grp := range p.groups {
		from, to := -1, -1
		for i, l := range grp.links {
			if l.off() {
				continue
			}
			if c := p.planner.grad[g][i]; (from < 0 || c > p.planner.grad[g][from]) && x[g][i] > 0 {
				from = i
			}
			if to < 0 || p.planner.grad[g][i] < p.planner.grad[g][to] {
				to = i
			}
		}
		if from >= 0 && to >= 0 && from != to {
			d := shiftBy * x[g][from]
			x[g][from] -= d
			x[g][to] += d
		}
	}
	return x
}

// floor is the cost per second if no request ever waited.
func (p *pool) floor() float64 {
	total := 0.0
	for _, g := range p.groups {
		least := math.Inf(1)
		for _, l := range g.links {
			least = math.Min(least, p.planner.response(g, l.station.serviceOf(l.pos), 0, 0))
		}
		total += g.rate * least
	}
	return total
}

// slownessInWeight is the power of the service time by which least_conn's weights differ from shares: it keeps active
// requests in proportion to weights, so that a slow server collects them. Measured over the scenario library: −0.5
// is best among −1…1 (docs/tuner.md).
const slownessInWeight = -0.5

// weigh turns shares into weights. Round robin: the shares. Least connections: shares that are tilted towards fast
// servers.
func (g *group) weigh(x []float64) []float64 {
	if g.method != LeastConn {
		return x
	}
	out := make([]float64, len(x))
	for i, l := range g.links {
		out[i] = x[i] * math.Pow(l.station.serviceOf(l.pos), slownessInWeight)
	}
	return out
}

// withAbsent gives the servers that take no requests now the part of the weights that they have in force: for when
// they return.
func (g *group) withAbsent(x []float64) []float64 {
	absent, down := 0.0, 0
	for _, l := range g.links {
		if l.out {
			absent += l.asked
		}
		if l.down {
			down++
		}
	}
	if absent == 0 && down == 0 || absent >= 1 {
		return x
	}
	sum, all := 0.0, 0.0
	for i, l := range g.links {
		all += float64(l.weight)
		if !l.off() {
			sum += x[i]
		}
	}
	out := make([]float64, len(x))
	for i, l := range g.links {
		switch {
		case l.out:
			out[i] = l.asked
		case l.down:
			out[i] = float64(l.weight) / all
		case sum > 0:
			out[i] = x[i] / sum * (1 - absent)
		}
	}
	return out
}
