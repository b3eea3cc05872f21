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
	Loose                    // the model's optimum, hardly pulled towards work-conserving shares
	Balanced                 // the same, pulled
	Tight                    // the same, pulled hard: nearly work-conserving
	Even                     // equal shares
	proposals
)

var proposalNames = [proposals]string{"base", "recall", "model-loose", "model-balanced", "model-tight", "equal"}

func (p Proposal) String() string {
	if p < 0 || p >= proposals {
		return fmt.Sprintf("proposal(%d)", int(p))
	}
	return proposalNames[p]
}

// pulls are the pulls τ of the three model proposals.
var pulls = map[Proposal]float64{Loose: 1, Balanced: 4, Tight: 16}

// crowdPull is the pull of Loose under round robin, against crowding, until the load has been steady for a while. Less of it parts the
// classes further, and what is parted is overloaded when the load turns before that was seen to happen.
const crowdPull = 0.52

// steadyPull is the pull of Loose under round robin once the load has been steady for a while. Parting the classes by
// the server that is best for each gains most where speeds differ by class, and is what a load that turns punishes.
const steadyPull = 0.5

// How nearly every server must have been seen without waiting (station.alone) before the model may part the classes. Least
// connections even out waiting themselves: there parting gains less, and a class that is sent far away shows in the tail.
const (
	looseFrom      = 0.15
	looseLeastConn = 0.3
)

// candidate is one proposal worked out for the present load.
type candidate struct {
	proposal  Proposal
	x         [][]float64 // shares by group and link
	cost      float64     // predicted cost per second, deadlines
	score     float64     // what the learner makes of it; lower is better
	bounds    []Bound
	unlimited bool // not subject to the step limit: it was in force before
}

// propose works out the candidates for a pool.
func (t *Tuner) propose(p *pool, mem *regimeMemory, safe bool) []candidate {
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
	enough := looseFrom
	if p.leastConn() {
		enough = looseLeastConn
	}
	// In an overload whose service times are open, class by class shares would follow the noise.
	p.planner.neutral = least < enough && p.saturated()
	for _, kind := range [...]Proposal{Tight, Balanced, Loose} {
		if least < enough && kind != Tight {
			continue // speeds seen only through waiting are not known well enough to part classes by them
		}
		tau := pulls[kind]
		p.planner.crowding = false
		switch {
		case kind != Loose || p.leastConn():
		case p.sudden >= steadyAfter:
			tau = steadyPull
		default:
			tau, p.planner.crowding = crowdPull, true
		}
		add(kind, p.planner.solve(tau))
	}
	if best := mem.best(p); best != nil {
		out = append(out, candidate{proposal: Recall, x: best, unlimited: true})
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
