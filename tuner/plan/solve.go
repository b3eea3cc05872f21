package plan

import (
	"math"

	"trimtab/tuner/queueing"
)

// Proportional returns weights in proportion to what each server can serve of each group, less what it fails. Servers
// that are needed although they fail have what the others cannot carry.
func (p *Problem) Proportional() Shares {
	x := p.NewShares()
	for g := range p.Groups {
		grp := &p.Groups[g]
		for i, l := range grp.Links {
			if b := &p.Beliefs[l.Server]; len(b.Slots) > 0 {
				x[g][i] = b.Capacity(l.Class) / (1 + b.Fail[l.Class]*p.ErrorTardiness)
			}
		}
		grp.normalise(x[g])
		if needed := grp.needed(x[g]); needed > 0 {
			grp.share(x[g], needed, 1-p.Capacity()*queueing.NearFull)
		}
	}
	return x
}

// needed is the part of the requests that those have which are needed.
func (g *Group) needed(x []float64) (part float64) {
	for i, l := range g.Links {
		if l.Needed && !l.Off {
			part += x[i]
		}
	}
	return part
}

// share gives those that are needed, who have the part needed of the requests, at least the part given.
func (g *Group) share(x []float64, needed, part float64) {
	if needed >= part || needed >= 1 {
		return
	}
	for i, l := range g.Links {
		if l.Needed {
			x[i] *= part / needed
		} else {
			x[i] *= (1 - part) / (1 - needed)
		}
	}
}

const (
	solveSteps   = 60
	solveFirst   = 0.3  // of the largest difference of gradients, in the logarithm of a share
	solveGrows   = 1.5  // of a stride, at most, from one step to the next,
	solveShrinks = 0.5  // at least, and at most when it does not gain,
	solveLeast   = 0.1  // and at least then
	solveMost    = 2    // stride
	solveTries   = 6    // of strides for one step
	solveDone    = 1e-4 // relative gain of a step that ends the search
	solveWork    = 3e5  // responses worked out after which the search ends: the largest pools
	leastShared  = 1e-4 // of an equal share: what no weight can say
)

// Solve returns the shares that cost least, found by exponentiated gradient from start, which they are pulled towards
// by Params.Pull, or PullAware, times the Kullback–Leibler divergence: where classes may be spread over servers in many
// ways that cost the same, they are spread as in start.
func (p *Problem) Solve(start Shares) Shares {
	x, next, grad, nextGrad := p.NewShares(), p.NewShares(), p.NewShares(), p.NewShares()
	for g := range x {
		copy(x[g], start[g])
		p.Groups[g].atLeast(x[g])
	}
	base, part := p.NewShares(), p.parts()
	for g := range x {
		copy(base[g], x[g])
	}
	e := p.evaluator()
	cost := e.pulled(x, base, grad, part)
	stride, work := solveFirst, e.work()
	for range solveSteps {
		largest := 0.0
		for g := range x {
			for i := range x[g] {
				largest = max(largest, math.Abs(grad[g][i])*math.Sqrt(x[g][i]))
			}
		}
		if !(largest > 0) || math.IsInf(largest, 0) {
			break
		}
		gain := 0.0
		for range solveTries {
			promised := 0.0 // gain, of a cost without curvature
			for g := range x {
				for i := range x[g] {
					step := max(-1, min(1, stride*grad[g][i]/largest))
					next[g][i] = x[g][i] * math.Exp(-step)
				}
				p.Groups[g].atLeast(next[g])
				for i := range x[g] {
					promised += part[g] * grad[g][i] * (x[g][i] - next[g][i])
				}
			}
			if promised < solveDone || work > solveWork {
				break
			}
			work += e.work()
			c := e.pulled(next, base, nextGrad, part)
			// The gain along the step is about that of a parabola, which has its top at this part of the stride.
			top := solveGrows
			if bent := promised - (cost - c); bent > 0 {
				top = promised / (2 * bent)
			}
			if c < cost {
				gain = cost - c
				cost = c
				stride = min(stride*max(1, min(top, solveGrows)), solveMost)
				break
			}
			stride *= max(solveLeast, min(top, solveShrinks))
		}
		if gain == 0 {
			break
		}
		x, next, grad, nextGrad = next, x, nextGrad, grad
		if gain < solveDone {
			break
		}
	}
	return x
}

// atLeast gives every server that is not off a share that a weight can say, and scales them to sum 1.
func (g *Group) atLeast(x []float64) {
	for i, l := range g.Links {
		if !l.Off {
			x[i] = max(x[i], leastShared/float64(len(g.Links)))
		}
	}
	g.normalise(x)
}

// pulled is the cost of shares x with the price of leaving base. It sets grad to the derivatives less their mean in
// the group, in units of the part of all requests that are of the group.
func (e *evaluator) pulled(x, base, grad Shares, part []float64) float64 {
	cost := e.cost(x, grad) + e.p.pull(x, base, part, grad)
	for g := range x {
		if !(part[g] > 0) {
			clear(grad[g])
			continue
		}
		mean := 0.0
		for i := range x[g] {
			mean += x[g][i] * grad[g][i]
		}
		for i := range x[g] {
			if grad[g][i] -= mean; x[g][i] > 0 {
				grad[g][i] /= part[g]
			} else {
				grad[g][i] = 0
			}
		}
	}
	return cost
}

// parts are the parts of all requests that are of each group, over the demand.
func (p *Problem) parts() []float64 {
	out, sum, demand := make([]float64, len(p.Groups)), 0.0, p.demand()
	for g := range out {
		for i := range demand {
			out[g] += demand[i].Probability * p.rate(&demand[i], g)
		}
		sum += out[g]
	}
	if sum > 0 {
		for g := range out {
			out[g] /= sum
		}
	}
	return out
}

// pull is the price of shares x beside base; with grad it adds the derivatives.
func (p *Problem) pull(x, base Shares, part []float64, grad Shares) float64 {
	total := 0.0
	for g := range x {
		price := p.Params.Pull * part[g]
		if p.Groups[g].Method.LoadAware() || p.Urgent {
			price = p.Params.PullAware * part[g]
		}
		for i := range x[g] {
			if x[g][i] <= 0 || base[g][i] <= 0 {
				continue
			}
			log := math.Log(x[g][i] / base[g][i])
			total += price * x[g][i] * log
			if grad != nil {
				grad[g][i] += price * (1 + log)
			}
		}
	}
	return total
}
