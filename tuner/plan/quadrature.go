package plan

import (
	"math"

	"trimtab/tuner/estimate"
	"trimtab/tuner/queueing"
)

const (
	quadratureLinks = 96  // servers in groups of a pool beyond which points are merged for the search
	quadrature      = 4   // points that are left of the numbers of slots of one server
	quadratureLoad  = 1.2 // of the heaviest demand, at which points are compared
)

// merged are the beliefs that a plan is sought with in a large pool, where the search would take too long: of the
// numbers of slots that a server may have, those that make the most alike response times when the server is sent its
// part of the heaviest demand, by the shares given, are taken together until quadrature of them are left. So the many
// slots with which nothing waits become one point, and the few with which the server fills stay apart. The mean
// logarithms of slots, of service times and of what is in doubt of them stay what they are.
func (p *Problem) merged(x Shares) []estimate.Belief {
	links := 0
	for g := range p.Groups {
		links += len(p.Groups[g].Links)
	}
	if links <= quadratureLinks {
		return p.Beliefs
	}
	uses := make([][]use, len(p.Beliefs))
	for g := range p.Groups {
		most := 0.0
		demand := p.distinct()
		for i := range demand {
			most = math.Max(most, p.rate(&demand[i], g))
		}
		for i, l := range p.Groups[g].Links {
			uses[l.Server] = append(uses[l.Server], use{l.Class, quadratureLoad * most * x[g][i]})
		}
	}
	out := make([]estimate.Belief, len(p.Beliefs))
	for j := range out {
		out[j] = p.Beliefs[j]
		out[j].Slots = merge(out[j].Slots, quadrature, func(h *estimate.Hypothesis) float64 {
			work, rate := 0.0, 0.0
			for _, u := range uses[j] {
				work += u.perSec * h.ServiceSec[u.class]
				rate += u.perSec
			}
			if !(rate > 0) {
				return 0
			}
			wait, _ := queueing.Planned(work/h.Slots, h.Slots, work/rate, pooled, p.Params.HorizonSec)
			return math.Log(work/rate + wait)
		})
	}
	return out
}

// use is what a class sends to a server.
type use struct {
	class  int
	perSec float64
}

// merge takes neighbours together until at most n are left: those first whose parting tells least, by the variance
// between them of what value says of each (Ward 1963).
func merge(slots []estimate.Hypothesis, n int, value func(*estimate.Hypothesis) float64) []estimate.Hypothesis {
	if len(slots) <= n {
		return slots
	}
	out, values := make([]estimate.Hypothesis, len(slots)), make([]float64, len(slots))
	for i := range slots {
		out[i], values[i] = slots[i], value(&slots[i])
	}
	for len(out) > n {
		at, least := 0, math.Inf(1)
		for i := range out[1:] {
			a, b, d := out[i].Probability, out[i+1].Probability, values[i+1]-values[i]
			if between := a * b / math.Max(a+b, math.SmallestNonzeroFloat64) * d * d; between < least {
				at, least = i, between
			}
		}
		a, b := &out[at], &out[at+1]
		part := 0.5
		if sum := a.Probability + b.Probability; sum > 0 {
			part = b.Probability / sum
		}
		one := estimate.Hypothesis{Slots: mix(a.Slots, b.Slots, part), Probability: a.Probability + b.Probability,
			ServiceSec: make([]float64, len(a.ServiceSec)), Slower: mix(max(a.Slower, 1), max(b.Slower, 1), part)}
		for k := range one.ServiceSec {
			one.ServiceSec[k] = mix(a.ServiceSec[k], b.ServiceSec[k], part)
		}
		values[at] += part * (values[at+1] - values[at])
		out[at] = one
		out = append(out[:at+1], out[at+2:]...)
		values = append(values[:at+1], values[at+2:]...)
	}
	return out
}

// mix is the geometric mean of a and b, part of it of b.
func mix(a, b, part float64) float64 { return a * math.Pow(b/a, part) }
