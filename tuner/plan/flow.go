package plan

import (
	"math"

	"trimtab/tuner/queueing"
)

// Flow returns the shares of requests that follow from weights, by group and link (any scale), under each group's method.
//
// Round robin: in proportion to the weights. least_conn keeps the requests that servers hold in proportion to their weights, so that by
// Little's law a server is sent requests in proportion to weight over response time, down to the time between two requests: below one
// request held, ties are broken by weight. least_time makes (1+λr)·R/w the same for all servers, r being the response time, R what it
// counts as in whole steps of 20 ms (leastTimeStep), and λr by Little's law the requests held.
func (p *Problem) Flow(weights Shares) Shares {
	x := p.NewShares()
	aware := false
	for g := range p.Groups {
		copy(x[g], weights[g])
		p.Groups[g].normalise(x[g])
		aware = aware || p.Groups[g].Method.LoadAware()
	}
	if !aware {
		return x
	}
	s := p.newScratch()
	response := p.NewShares()
	for range flowSteps {
		p.responses(s, x, response)
		for g := range p.Groups {
			grp := &p.Groups[g]
			if !grp.Method.LoadAware() || grp.RatePerSec <= 0 {
				continue
			}
			next := make([]float64, len(grp.Links))
			if grp.Method == LeastTime {
				grp.leastTime(weights[g], response[g], next)
			} else {
				gap := float64(len(grp.Links)) / grp.RatePerSec / 2
				for i := range next {
					next[i] = weights[g][i] / (response[g][i] + gap)
				}
			}
			grp.normalise(next)
			for i := range next { // halfway in the logarithm: the response is steep near full use
				if x[g][i] > 0 && next[i] > 0 {
					x[g][i] = math.Sqrt(x[g][i] * next[i])
				}
			}
			grp.normalise(x[g])
		}
	}
	return x
}

// leastTimeStep is the unit in s in which NGINX counts response times under least_time: r counts as (⌊r/step⌋+1) steps.
const leastTimeStep = 0.020

// leastTime sets the rates λ with the same (1+λr)·R/w for every server that add up to the group's.
func (g *Group) leastTime(weights, response, out []float64) {
	rates := func(level float64) (sum float64) {
		for i, l := range g.Links {
			out[i] = 0
			if l.Off || !(weights[i] > 0) {
				continue
			}
			counted := response[i] + leastTimeStep/2 // on average over where a time lies in its step
			if response[i] < leastTimeStep {
				counted = leastTimeStep
			}
			out[i] = math.Max(leastRate, (level*weights[i]/counted-1)/response[i])
			sum += out[i]
		}
		return sum
	}
	low, high := 0.0, 1.0
	for range 200 {
		if rates(high) >= g.RatePerSec {
			break
		}
		high *= 2
	}
	for range 40 {
		if middle := (low + high) / 2; rates(middle) < g.RatePerSec {
			low = middle
		} else {
			high = middle
		}
	}
	rates(high)
}

// leastRate keeps the share of a server that is sent next to nothing above 0, so that it can come back.
const leastRate = 1e-6

const flowSteps = 40

// responses sets the mean response time of every link at shares x, geometric over the numbers of slots.
func (p *Problem) responses(s *scratch, x, out Shares) {
	for j := range p.Beliefs {
		b := &p.Beliefs[j]
		for _, at := range s.links[j] {
			out[at.group][at.link] = 0
		}
		for i := range b.Slots {
			h := &b.Slots[i]
			work, rate := 0.0, 0.0
			for _, at := range s.links[j] {
				g := &p.Groups[at.group]
				r := g.RatePerSec * x[at.group][at.link]
				work += r * h.ServiceSec[g.Links[at.link].Class]
				rate += r
			}
			wait := 0.0
			if rate > 0 {
				wait, _ = queueing.Planned(work/h.Slots, h.Slots, work/rate, pooled, p.Params.HorizonSec)
			}
			for _, at := range s.links[j] {
				g := &p.Groups[at.group]
				out[at.group][at.link] += h.Probability * math.Log(h.ServiceSec[g.Links[at.link].Class]+wait)
			}
		}
		for _, at := range s.links[j] {
			out[at.group][at.link] = math.Exp(out[at.group][at.link])
		}
	}
}
