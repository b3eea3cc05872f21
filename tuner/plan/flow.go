package plan

import (
	"math"

	"trimtab/tuner/queueing"
)

// Flow returns the shares of requests that follow from weights, by group and link (any scale), under each group's method.
//
// Round robin: in proportion to the weights. least_conn keeps the requests that servers hold in proportion to their weights, so that by
// Little's law a server is sent requests in proportion to weight over response time, down to the time between two requests: below one
// request held, ties are broken by weight. least_time keeps response time times requests held in proportion to the weights:
// weight over the square of the response time.
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
			if !grp.Method.LoadAware() {
				continue
			}
			gap := 0.0
			if grp.RatePerSec > 0 {
				gap = float64(len(grp.Links)) / grp.RatePerSec / 2
			}
			next := make([]float64, len(grp.Links))
			for i := range grp.Links {
				next[i] = weights[g][i] / (response[g][i] + gap)
				if grp.Method == LeastTime {
					next[i] /= response[g][i]
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
