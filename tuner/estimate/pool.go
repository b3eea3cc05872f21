package estimate

import (
	"math"

	"trimtab/tuner/params"
	"trimtab/tuner/queueing"
)

// Member is a server of a pool: its classes are the upstream groups that use it.
type Member struct {
	*Server
	Group  []int     // by class: which group of the pool
	Weight []float64 // by class: the operator's weight, relative within the group; 0: not known

	logWeight []float64
}

// Believe weighs the numbers of slots of all servers of a pool against each other and returns what is believed of each.
//
// Servers of a pool are mostly alike in speed, or in slots, or else as different as the operator's weights say: a server that holds many
// requests and is slow by one number of slots but as fast as its peers by another is believed to have the other. Each counts as a
// prior beside what was seen of the server itself (Server.Observe).
func Believe(p *params.Params, members []Member, groups int) []Belief {
	takeLogs(members)
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

// takeLogs takes the logarithms of the operator's weights.
func takeLogs(members []Member) {
	uses := 0
	for i := range members {
		uses += len(members[i].Group)
	}
	logs := make([]float64, uses)
	for i := range members {
		m := &members[i]
		n := len(m.Group)
		m.logWeight, logs = logs[:n:n], logs[n:]
		for k, w := range m.Weight {
			if w > 0 {
				m.logWeight[k] = math.Log(w)
			}
		}
	}
}

// pool is what is typical of the servers of a pool.
type pool struct {
	log    []float64 // log service time by group
	weight []float64 // precision behind it; 0: nothing known
	slots  [choices]float64
	offset []float64 // log capacity per unit of the operator's weight, by group
	count  float64   // servers
	// By number of slots: its logarithm, and how probable it is of a server that nothing is known of.
	logSlots, broad [choices]float64
}

func typical(members []Member, groups int) *pool {
	t := &pool{log: make([]float64, groups), weight: make([]float64, groups), offset: make([]float64, groups)}
	offsets := make([]float64, groups)
	for h, c := range queueing.Slots {
		t.logSlots[h], t.broad[h] = math.Log(c), broad(c)
	}
	for i := range members {
		m := &members[i]
		if !m.seen {
			continue
		}
		t.count++
		for h := range m.Prob {
			t.slots[h] += m.Prob[h]
		}
		for k, g := range m.Group {
			mean, square, variance := 0.0, 0.0, 0.0
			capacity := 0.0
			for h, q := range m.Prob {
				b := &m.slots[h]
				mean += q * b.log[k]
				square += q * b.log[k] * b.log[k]
				variance += q * (b.common + b.variance[k])
				capacity += q * (t.logSlots[h] - b.log[k])
			}
			if m.slots[0].variance[k] == 0 {
				continue
			}
			// What depends on the number of slots is not known.
			w := 1 / (variance + max(0, square-mean*mean) + 0.01)
			t.log[g] += w * mean
			t.weight[g] += w
			if m.Weight[k] > 0 {
				t.offset[g] += capacity - m.logWeight[k]
				offsets[g]++
			}
		}
	}
	for g := range t.log {
		if t.weight[g] > 0 {
			t.log[g] /= t.weight[g]
		}
		if offsets[g] > 0 {
			t.offset[g] /= offsets[g]
		}
	}
	return t
}

// posterior sets the probabilities of the numbers of slots.
func (m *Member) posterior(p *params.Params, t *pool) {
	var l [choices]float64
	most, alikeShare := math.Inf(-1), p.AlikeShare
	for h := range m.slots {
		b := &m.slots[h]
		speed, n, variance, operator := 0.0, 0.0, 0.0, 0.0
		for k, g := range m.Group {
			if b.variance[k] == 0 || t.weight[g] == 0 {
				continue
			}
			speed += b.log[k] - t.log[g]
			variance += b.variance[k]
			n++
			if m.Weight[k] > 0 {
				d := (t.logSlots[h] - b.log[k] - m.logWeight[k] - t.offset[g]) / p.OperatorSD
				operator += d * d / 2
			}
		}
		if n > 0 && !m.moved {
			m.given[h] = -operator / n
		}
		l[h] = b.evidence + m.given[h]
		if n > 0 {
			speed, variance = speed/n, b.common+variance/n/n
			alike := normal(speed, p.AlikeSD*p.AlikeSD+variance)
			apart := normal(speed, p.ApartSD*p.ApartSD+variance)
			l[h] += math.Log(alikeShare*alike + (1-alikeShare)*apart)
		}
		own := t.broad[h]
		if others := t.count - 1; others > 0 {
			own = alikeShare*max(0, t.slots[h]-m.Prob[h])/others + (1-alikeShare)*own
		}
		l[h] += math.Log(max(own, 1e-9))
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
func broad(c float64) float64 {
	z := math.Log(c/8) / math.Log(4)
	return 0.17 * math.Exp(-z*z/2)
}

// belief is what is believed of a member, what is typical standing in for classes that it never served.
func (m *Member) belief(p *params.Params, t *pool) Belief {
	n := len(m.Group)
	byClass := make([]float64, 2*n)
	out := Belief{Known: m.seen, SD: byClass[:n:n], Fail: byClass[n:], Inside: m.inside, Done: m.done}
	copy(out.Fail, m.fail)
	if !m.seen && t.count > 0 { // as its peers are
		for h := range m.Prob {
			m.Prob[h] = t.slots[h] / t.count
		}
	}
	sum, best, kept := 0.0, m.best(), 0
	for h, q := range m.Prob {
		if !(q < p.LeastProbable) || h == best {
			kept++
		}
	}
	out.Slots = make([]Hypothesis, 0, kept)
	services := make([]float64, kept*n)
	for h, q := range m.Prob {
		if q < p.LeastProbable && h != best {
			continue
		}
		b := &m.slots[h]
		hyp := Hypothesis{Slots: queueing.Slots[h], Probability: q, ServiceSec: services[:n:n]}
		services = services[n:]
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
	takeLogs(members)
	t := typical(members, groups)
	out := make([]float64, groups)
	for g := range out {
		if t.weight[g] > 0 {
			out[g] = math.Exp(t.log[g])
		}
	}
	return out
}
