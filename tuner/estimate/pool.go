package estimate

import (
	"math"
	"slices"

	"trimtab/tuner/params"
	"trimtab/tuner/queueing"
)

// Member is a server of a pool: its classes are the upstream groups that use it.
type Member struct {
	*Server
	Group []int // by class: which group of the pool

	vote [choices]float64 // probabilities of its numbers of slots by what was seen of it alone, times sure
	sure float64          // how much that is: 0 nothing, 1 all there is to know
}

// Believe weighs the numbers of slots of all servers of a pool against each other and returns what is believed of each.
//
// Servers of a pool are mostly alike in speed, or in slots: a server that holds many requests and is slow by one number
// of slots but as fast as its peers by another is believed to have the other. Each counts as a prior beside what was
// seen of the server itself (Server.Observe). The weights that somebody gave them count for nothing: half of those in
// use are not about capacity.
func Believe(p *params.Params, members []Member, groups int) []Belief {
	for i := range members {
		members[i].takeVote()
	}
	for range 2 { // what is typical follows from the beliefs, and they from it
		t := typical(members, groups)
		for i := range members {
			if members[i].seen {
				members[i].posterior(p, t)
			}
		}
	}
	t := typical(members, groups)
	out := make([]Belief, len(members))
	for i := range members {
		out[i] = members[i].belief(p, t)
	}
	return out
}

// pool is what is typical of the servers of a pool.
type pool struct {
	log    []float64 // log service time by group
	weight []float64 // precision behind it; 0: nothing known
	vote   [choices]float64
	sure   float64 // servers whose slots are known
}

// takeVote sets what the server alone says of its slots. It counts by how far that is from knowing nothing
// (Kullback–Leibler), so that servers of which nothing is known do not outvote the few of which something is.
func (m *Member) takeVote() {
	m.vote, m.sure = [choices]float64{}, 0
	if !m.seen {
		return
	}
	sum, news := 0.0, 0.0
	for h := range m.vote {
		m.vote[h] = broad[h] * math.Exp(m.slots[h].evidence)
		sum += m.vote[h]
	}
	for h := range m.vote {
		if m.vote[h] /= sum; m.vote[h] > 0 {
			news += m.vote[h] * math.Log(m.vote[h]/broad[h])
		}
	}
	m.sure = 1 - math.Exp(-max(0, news))
	for h := range m.vote {
		m.vote[h] *= m.sure
	}
}

// ofOthers is how probable a number of slots is of a server by those of the others: as that of one of them, or as that
// of any server with the weight of Params.SlotsApart of them (Blackwell and MacQueen 1973).
func (t *pool) ofOthers(p *params.Params, m *Member, h int) float64 {
	return (t.vote[h] - m.vote[h] + p.SlotsApart*broad[h]) / (t.sure - m.sure + p.SlotsApart)
}

func typical(members []Member, groups int) *pool {
	t := &pool{log: make([]float64, groups), weight: make([]float64, groups)}
	for i := range members {
		m := &members[i]
		if !m.seen {
			continue
		}
		t.sure += m.sure
		for h := range m.vote {
			t.vote[h] += m.vote[h]
		}
		for k, g := range m.Group {
			mean, square, variance := 0.0, 0.0, 0.0
			for h, q := range m.Prob {
				b := &m.slots[h]
				mean += q * b.log[k]
				square += q * b.log[k] * b.log[k]
				variance += q * (b.common + b.variance[k])
			}
			if m.slots[0].variance[k] == 0 {
				continue
			}
			// What depends on the number of slots is not known.
			w := 1 / (variance + max(0, square-mean*mean) + 0.01)
			t.log[g] += w * mean
			t.weight[g] += w
		}
	}
	for g := range t.log {
		if t.weight[g] > 0 {
			t.log[g] /= t.weight[g]
		}
	}
	return t
}

// posterior sets the probabilities of the numbers of slots.
func (m *Member) posterior(p *params.Params, t *pool) {
	var l [choices]float64
	most := math.Inf(-1)
	for h := range m.slots {
		b := &m.slots[h]
		speed, n, variance := 0.0, 0.0, 0.0
		for k, g := range m.Group {
			if b.variance[k] == 0 || t.weight[g] == 0 {
				continue
			}
			speed += b.log[k] - t.log[g]
			variance += b.variance[k]
			n++
		}
		l[h] = b.evidence
		if n > 0 {
			speed, variance = speed/n, b.common+variance/n/n
			alike := normal(speed, p.AlikeSD*p.AlikeSD+variance)
			apart := normal(speed, p.ApartSD*p.ApartSD+variance)
			l[h] += math.Log(p.AlikeShare*alike + (1-p.AlikeShare)*apart)
		}
		l[h] += math.Log(max(t.ofOthers(p, m, h), 1e-9))
		most = max(most, l[h])
	}
	sum := 0.0
	for h := range l {
		l[h] = math.Exp(l[h] - most)
		sum += l[h]
	}
	for h := range l {
		m.Prob[h] = l[h] / sum
	}
}

func normal(x, variance float64) float64 {
	return math.Exp(-x*x/2/variance) / math.Sqrt(2*math.Pi*variance)
}

// broad is the prior of a number of slots: lognormal around 8, a factor of 4 either way, over queueing.Slots.
var broad = func() (out [choices]float64) {
	sum := 0.0
	for h, c := range queueing.Slots {
		z := math.Log(c/8) / math.Log(4)
		out[h] = math.Exp(-z * z / 2)
		sum += out[h]
	}
	for h := range out {
		out[h] /= sum
	}
	return out
}()

// belief is what is believed of a member, what is typical standing in for classes that it never served.
func (m *Member) belief(p *params.Params, t *pool) Belief {
	n := len(m.Group)
	out := Belief{Known: m.seen, SD: make([]float64, n), Fail: slices.Clone(m.fail), Inside: m.inside, Done: m.done,
		Doubt: m.slow / (m.slow + p.Persistence)}
	if !m.seen { // as its peers are
		for h := range m.Prob {
			m.Prob[h] = t.ofOthers(p, m, h)
		}
	}
	sum, best, peers, elsewhere := 0.0, m.best(), 0.0, 0.0
	for g := range t.log {
		if t.weight[g] > 0 {
			peers += t.log[g]
			elsewhere++
		}
	}
	for h, q := range m.Prob {
		if q < p.LeastProbable && h != best {
			continue
		}
		b := &m.slots[h]
		hyp := Hypothesis{Slots: queueing.Slots[h], Probability: q, ServiceSec: make([]float64, n)}
		if m.slow > 0 && b.slower > 0 {
			hyp.Slower = math.Exp(b.slower)
		}
		speed, mean, served := 0.0, 0.0, 0.0
		for k, g := range m.Group {
			if b.variance[k] > 0 && t.weight[g] > 0 {
				speed += b.log[k] - t.log[g]
				mean += b.log[k]
				served++
			}
		}
		if served > 0 {
			speed, mean = speed/served, mean/served
		}
		for k, g := range m.Group {
			switch {
			case b.variance[k] > 0:
				hyp.ServiceSec[k] = math.Exp(b.log[k])
				out.SD[k] += q * (b.common + b.variance[k])
				out.SpeedSD += q * b.common
			case t.weight[g] > 0:
				hyp.ServiceSec[k] = math.Exp(t.log[g] + speed)
				out.SD[k] += q * p.ApartSD * p.ApartSD
			case served > 0: // nobody ever asked for it: as long as what this server does serve
				hyp.ServiceSec[k] = math.Exp(mean)
				out.SD[k] += q * p.ApartSD * p.ApartSD
			case elsewhere > 0: // nor did this server ever serve anything: as long as what its peers do
				hyp.ServiceSec[k] = math.Exp(peers / elsewhere)
				out.SD[k] += q * p.ApartSD * p.ApartSD
			default:
				return Belief{Fail: out.Fail, SD: out.SD}
			}
		}
		sum += q
		out.Slots = append(out.Slots, hyp)
	}
	for i := range out.Slots {
		out.Slots[i].Probability /= sum
	}
	for k := range out.SD {
		out.SD[k] = math.Sqrt(out.SD[k] / sum)
	}
	out.SpeedSD = math.Sqrt(out.SpeedSD / sum / float64(n))
	return out
}

// Typical returns the service time that is typical of each group's servers, in seconds; 0 where nothing is known.
func Typical(members []Member, groups int) []float64 {
	t := typical(members, groups)
	out := make([]float64, groups)
	for g := range out {
		if t.weight[g] > 0 {
			out[g] = math.Exp(t.log[g])
		}
	}
	return out
}
