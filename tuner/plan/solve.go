package plan

import "math"

// Proportional returns weights in proportion to what each server can serve of each group, less what it fails.
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
	}
	return x
}

const (
	solveSteps  = 60
	solveFirst  = 0.3  // of the largest difference of gradients, in the logarithm of a share
	solveDone   = 1e-4 // relative gain of a step that ends the search
	leastShared = 1e-4 // of an equal share: what no weight can say
)

// Solve returns the shares that cost least, found by exponentiated gradient from start, which they are pulled towards by Params.Pull
// times the Kullback–Leibler divergence: where classes may be spread over servers in many ways that cost the same, they are spread as
// in start.
func (p *Problem) Solve(start Shares) Shares {
	s := p.newScratch()
	x, next, grad := p.NewShares(), p.NewShares(), p.NewShares()
	for g := range x {
		copy(x[g], start[g])
		grp := &p.Groups[g]
		for i, l := range grp.Links {
			if !l.Off {
				x[g][i] = math.Max(x[g][i], leastShared/float64(len(grp.Links)))
			}
		}
		grp.normalise(x[g])
	}
	base, part := p.NewShares(), p.parts()
	for g := range x {
		copy(base[g], x[g])
	}
	cost := p.gradient(s, x, grad) + p.pull(x, base, grad, part)
	stride := solveFirst
	for range solveSteps {
		largest := 0.0
		for g := range x {
			if part[g] <= 0 {
				continue
			}
			mean := 0.0
			for i := range x[g] {
				mean += x[g][i] * grad[g][i]
			}
			for i := range x[g] {
				grad[g][i] -= mean
				if x[g][i] > 0 {
					largest = math.Max(largest, math.Abs(grad[g][i])*math.Sqrt(x[g][i])/part[g])
				}
			}
		}
		if largest == 0 || math.IsNaN(largest) || math.IsInf(largest, 0) {
			break
		}
		accepted := false
		for range 6 {
			for g := range x {
				grp := &p.Groups[g]
				for i, l := range grp.Links {
					step := 0.0
					if part[g] > 0 {
						step = math.Max(-1, math.Min(1, stride*grad[g][i]/part[g]/largest))
					}
					next[g][i] = x[g][i] * math.Exp(-step)
					if !l.Off {
						next[g][i] = math.Max(next[g][i], leastShared/float64(len(grp.Links)))
					}
				}
				grp.normalise(next[g])
			}
			if c := p.Cost(next) + p.pull(next, base, nil, part); c < cost {
				accepted = true
				better := cost - c
				x, next = next, x
				stride = math.Min(stride*1.5, 2)
				if better < solveDone {
					return x
				}
				break
			}
			stride /= 2
		}
		if !accepted {
			break
		}
		cost = p.gradient(s, x, grad) + p.pull(x, base, grad, part)
	}
	return x
}

// parts are the parts of all requests that are of each group, over the demand.
func (p *Problem) parts() []float64 {
	out, sum := make([]float64, len(p.Groups)), 0.0
	demand := p.Demand
	if len(demand) == 0 {
		demand = present
	}
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
func (p *Problem) pull(x, base, grad Shares, part []float64) float64 {
	total := 0.0
	for g := range x {
		price := p.Params.Pull * part[g]
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
