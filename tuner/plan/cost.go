package plan

import (
	"math"

	"trimtab/tuner/queueing"
)

// pooled is the irregularity of what a server is sent by a method that goes by the requests it holds: little, for it is
// sent requests when it has room.
var pooled = queueing.Flow{Arrivals: 0.15, Service: 0.15}

// FlowTo is how irregular the requests are that a server is sent: by round robin, those of every n'th of a Poisson
// stream, whose times between arrivals have a squared coefficient of variation of the server's share.
func FlowTo(m Method, share, scv float64) queueing.Flow {
	if m.LoadAware() {
		return pooled
	}
	return queueing.Flow{Arrivals: share, Service: scv}
}

// Cost is what shares cost: the logarithm of the tardiness of all requests, their mean response times by
// Params.MeanShare and what fails, in deadlines per second, averaged over the numbers of slots that servers may have;
// the mean of the logarithms over the demand, so that a load in which everything is late does not drown the present
// one.
func (p *Problem) Cost(x Shares) float64 { return p.Costs(x)[0] }

// Costs are those of several shares.
func (p *Problem) Costs(x ...Shares) []float64 {
	e, out := p.evaluator(), make([]float64, len(x))
	for i := range x {
		out[i] = e.cost(x[i], nil)
	}
	return out
}

// Capacity is how many times the present load the servers that do not fail serve at most, all together, of the groups
// that have such servers: 0 where none has, +Inf where nobody asks.
func (p *Problem) Capacity() float64 {
	work, asked := 0.0, 0.0
	for g := range p.Groups {
		asked += p.Groups[g].RatePerSec
		if capacity := p.serves(g); capacity > 0 {
			work += p.Groups[g].RatePerSec / capacity
		}
	}
	switch {
	case work > 0:
		return 1 / work
	case asked > 0:
		return 0
	}
	return math.Inf(1)
}

// serves is how many requests per second of a group alone the servers that do not fail serve at most.
func (p *Problem) serves(g int) (perSec float64) {
	for _, l := range p.Groups[g].Links {
		if b := &p.Beliefs[l.Server]; !l.Off && len(b.Slots) > 0 && b.Fail[l.Class] <= p.Params.Failing {
			perSec += b.Capacity(l.Class)
		}
	}
	return perSec
}
