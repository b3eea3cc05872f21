package estimate

import (
	"math"

	"trimtab/tuner/params"
	"trimtab/tuner/queueing"
)

// choices is how many numbers of slots a server may have.
const choices = len(queueing.Slots)

// Reading is what one interval says of one class of requests at one server.
type Reading struct {
	DonePerSec  float64 // answers that count as served
	ResponseSec float64 // their mean response time; 0 when there were none
	Count       float64 // how many they were
	SCV         float64 // squared coefficient of variation of their response times; 0: unknown
	FailShare   float64 // probability that a request fails
}

// Server is what was seen of one server, by class. For every number of slots it may have, the service time of every class is
// followed by a Kalman filter in the logarithm; what the server finished and held in an interval gives the service times at once,
// by the utilisation law and Little's law (see Observe). The zero value is not usable: NewServer.
type Server struct {
	slots  [choices]believed
	fail   []float64        // by class: probability that a request fails
	scv    []float64        // of response times, by class
	inside float64          // requests held in the last interval, mean
	done   float64          // completions per second in the last interval
	used   float64          // share of the slots that were busy in the last interval
	waited float64          // share of the response times of the last interval that was waiting
	shift  shift            // change statistic
	seen   bool             // any class was ever served
	age    float64          // s since it was first served
	moved  bool             // it has changed: the operator's weights were given to what it was before
	given  [choices]float64 // log likelihood of the operator's weights, by number of slots
	Prob   [choices]float64
}

// believed is what is believed if the server has a certain number of slots.
type believed struct {
	log      []float64 // log service time by class, s
	variance []float64 // 0: the class was never served
	evidence float64   // log likelihood of what was seen, forgetting
}

// NewServer returns a server of which nothing is known.
func NewServer(classes int) *Server {
	s := &Server{fail: make([]float64, classes), scv: make([]float64, classes)}
	for h := range s.slots {
		s.slots[h] = believed{log: make([]float64, classes), variance: make([]float64, classes)}
		s.Prob[h] = 1 / float64(choices)
	}
	return s
}

// Known reports whether the server ever served a request.
func (s *Server) Known() bool { return s.seen }

// Changed reports whether the last interval completed the evidence of a change of the server.
func (s *Server) Changed() bool { return s.shift.found }

// Observe learns from an interval of the given length; r are the readings by class.
//
// The server holds L = Σ λ_k R_k requests (Little), of which b = Busy(L, c) are in service and the others wait, each for
// W = (L−b)/λ. So the service time of class k was R_k − W, for every number of slots c: near full use, beyond it, and while a
// queue drains, where no formula of a steady state holds, b is c and W is what the queue is.
func (s *Server) Observe(p *params.Params, seconds float64, flow queueing.Flow, r []Reading) {
	done, inside := 0.0, 0.0
	for k := range r {
		s.fail[k] = r[k].FailShare
		done += r[k].DonePerSec
		inside += r[k].DonePerSec * r[k].ResponseSec
		if r[k].SCV > 0 && r[k].Count > 0 {
			g := r[k].Count / (r[k].Count + p.SpreadRequests)
			if s.scv[k] == 0 {
				g = 1
			}
			s.scv[k] += g * (math.Min(r[k].SCV, p.SpreadMost) - s.scv[k])
		}
	}
	s.done, s.inside = done, inside
	s.shift.found = false
	if !(done > 0) || !(inside > 0) {
		return
	}
	keep := math.Exp(-seconds / p.EvidenceMemory)
	best := s.best()
	s.used = 0
	var z deviation
	for h := range s.slots {
		b := &s.slots[h]
		busy := queueing.Busy(inside, queueing.Slots[h], flow)
		wait := math.Max(0, (inside-busy)/done)
		b.evidence *= keep
		s.used += s.Prob[h] * busy / queueing.Slots[h]
		var own *deviation
		if h == best {
			own, s.waited = &z, wait*done/inside
		}
		s.learn(b, p, seconds, wait, wait*done/inside, r, own)
	}
	s.weigh(p)
	s.seen = true
	s.age += seconds
	if s.shift.observe(p, seconds, z.sd()) {
		s.moved = s.moved || s.age > p.EvidenceMemory/acquainted
		s.unsettle(p)
	}
}

// learn updates one hypothesis by an interval in which requests waited so long, a share waited of their response time.
func (s *Server) learn(b *believed, p *params.Params, seconds, wait, waited float64, r []Reading, z *deviation) {
	drift := p.DriftPerMinute * p.DriftPerMinute * seconds / 60
	for k := range r {
		if b.variance[k] > 0 {
			b.variance[k] = math.Min(b.variance[k]+drift, p.ApartSD*p.ApartSD)
		}
		if !(r[k].Count > 0) || !(r[k].ResponseSec > 0) {
			continue
		}
		service := math.Max(r[k].ResponseSec-wait, p.LeastPart*r[k].ResponseSec)
		scv := s.scv[k]
		if scv == 0 {
			scv = p.SpreadFirst
		}
		noise := scv/r[k].Count + p.ModelNoise*p.ModelNoise*waited + p.FloorNoise*p.FloorNoise
		if len(r) > 1 {
			noise += p.SampleShare * wait * wait / (service * service * r[k].Count)
		}
		value := math.Log(service)
		if b.variance[k] == 0 {
			b.log[k], b.variance[k] = value, noise+p.ModelNoise*p.ModelNoise
			continue
		}
		e, total := value-b.log[k], b.variance[k]+noise
		if z != nil {
			z.add(e, total)
		}
		most := p.OutlierSD * math.Sqrt(total)
		e = math.Max(-most, math.Min(most, e))
		gain := b.variance[k] / total
		b.log[k] += gain * e
		b.variance[k] *= 1 - gain
		b.evidence -= (e*e/total + math.Log(total)) / 2 / float64(len(r))
	}
}

// weigh keeps the evidence relative to the best number of slots and bounded, so that what was believed for hours can be unlearned.
func (s *Server) weigh(p *params.Params) {
	most := math.Inf(-1)
	for h := range s.slots {
		most = math.Max(most, s.slots[h].evidence)
	}
	for h := range s.slots {
		s.slots[h].evidence = math.Max(s.slots[h].evidence-most, -p.EvidenceMost)
	}
}

// unsettle forgets speeds after a change of the server: slots rarely change, so half of what is known of them stays.
func (s *Server) unsettle(p *params.Params) {
	for h := range s.slots {
		b := &s.slots[h]
		b.evidence /= 2
		for k := range b.variance {
			if b.variance[k] > 0 {
				b.variance[k] += p.ChangeSD * p.ChangeSD
			}
		}
	}
}

// best is the most probable number of slots, an index into queueing.Slots.
func (s *Server) best() int {
	at := 0
	for h := range s.Prob {
		if s.Prob[h] > s.Prob[at] {
			at = h
		}
	}
	return at
}

// Waiting is the share of the response times of the last interval that was waiting, by the most probable number of slots.
func (s *Server) Waiting() float64 { return s.waited }

// Utilisation is the share of the slots that were busy in the last interval, over the numbers of slots.
func (s *Server) Utilisation() float64 { return s.used }

// acquainted is the part of EvidenceMemory after which a change is one of the server, and not of what is known of it.
const acquainted = 30
