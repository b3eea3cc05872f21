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
	TypicalSec  float64 // service time of the class at the other servers; 0: not known
}

// Server is what was seen of one server, by class. For every number of slots it may have, the service time of every
// class is followed by a Kalman filter in the logarithm; what the server finished and held in an interval gives the
// service times at once, by the utilisation law and Little's law (see Observe). The zero value is not usable:
// NewServer.
type Server struct {
	slots  [choices]believed
	fail   []float64 // by class: probability that a request fails
	scv    []float64 // of response times, by class
	inside float64   // requests held in the last interval, mean
	done   float64   // completions per second in the last interval
	used   float64   // share of the slots that were busy in the last interval
	waited float64   // share of the response times of the last interval that was waiting
	shift  shift     // change statistic
	slow   float64   // s for which intervals have been outliers, slower than what was believed
	seen   bool      // any class was ever served
	Prob   [choices]float64
}

// believed is what is believed if the server has a certain number of slots.
type believed struct {
	log      []float64 // log service time by class, s
	variance []float64 // of a class beside the server's speed; 0: the class was never served
	common   float64   // variance of the speed that all classes share
	evidence float64   // log likelihood of what was seen, forgetting
	slower   float64   // by how much, in the logarithm, an outlier was slower than is believed now; 0: it was none
}

// NewServer returns a server of which nothing is known.
func NewServer(classes int) *Server {
	room := make([]float64, 2*(choices+1)*classes) // one piece: a collector of garbage looks at each
	next := func() []float64 {
		out := room[:classes:classes]
		room = room[classes:]
		return out
	}
	s := &Server{fail: next(), scv: next()}
	for h := range s.slots {
		s.slots[h] = believed{log: next(), variance: next()}
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
// The server holds L = Σ λ_k R_k requests (Little), of which b = Busy(L, c) are in service and the others wait, each
// for W = (L−b)/λ. Two things follow for every number of slots c: all classes together took Σ λ_k s_k = b (the
// utilisation law), which says how fast the server is, and class k took R_k − W, which says how the classes differ.
// The first holds near full use, beyond it, and while a queue drains, where no formula of a steady state does; the
// second says little there, for waits differ by chance.
//
// In an interval in which a queue ends neither holds, for some requests waited in what was left of it: such an interval
// makes no server slower.
//
// While load, servers and weights stand still, what is seen of slots is the same over and over: it is evidence doubted
// times less, 1 or more.
func (s *Server) Observe(p *params.Params, seconds, doubted float64, flow queueing.Flow, r []Reading) {
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
			s.scv[k] += g * (r[k].SCV - s.scv[k])
		}
	}
	v := view{perRequest: math.Inf(-1), ended: s.waited > p.QuietWait && inside < queueEnded*s.inside}
	s.done, s.inside = done, inside
	s.shift.found = false
	if !(done > 0) || !(inside > 0) {
		return
	}
	news := 1 / doubted
	keep := math.Exp(-seconds * news / p.EvidenceMemory)
	best := s.best()
	s.used = 0
	deviates := 0.0 // standard deviations
	for h := range s.slots {
		v.look(inside, done, queueing.Slots[h], flow)
		s.slots[h].evidence *= keep
		s.used += s.Prob[h] * v.busy / queueing.Slots[h]
		var own *float64
		if h == best {
			own, s.waited = &deviates, v.waited
		}
		s.learn(&s.slots[h], p, seconds, news, &v, r, own)
	}
	s.weigh(p)
	s.seen = true
	if s.slow += seconds; s.slots[best].slower == 0 {
		s.slow = 0
	}
	if !s.shift.observe(p, seconds, deviates) {
		return
	}
	s.unsettle(p)
	s.slow = 0
	for h := range s.slots { // the interval that gave the change away says what the server is now
		v.look(inside, done, queueing.Slots[h], flow)
		s.learn(&s.slots[h], p, seconds, 1, &v, r, nil)
	}
	s.weigh(p)
}

// view is what an interval shows if the server has a certain number of slots.
type view struct {
	busy       float64 // slots
	perRequest float64 // log s of busy slots per completion
	wait       float64 // s that requests waited
	waited     float64 // share of their response times that was
	ended      bool    // a queue ended: nobody knows how much of what was held is what was left of it
}

// look sets the view for c slots. Most numbers of slots have busy in common, where nothing waits.
func (v *view) look(inside, done, c float64, flow queueing.Flow) {
	if busy := queueing.Busy(inside, c, flow); busy != v.busy {
		v.busy, v.perRequest = busy, math.Log(busy/done)
	}
	v.wait = max(0, (inside-v.busy)/done)
	v.waited = v.wait * done / inside
}

// learn updates one hypothesis by an interval of which it has the view v; news is how much of it is evidence for or
// against the number of slots. It sets z, unless it is nil, to the deviation of the common speed from what was
// expected, in standard deviations.
func (s *Server) learn(b *believed, p *params.Params, seconds, news float64, v *view, r []Reading, z *float64) {
	drift := p.DriftPerMinute * p.DriftPerMinute * seconds / 60
	known := b.common > 0
	for k := range r {
		if r[k].Count > 0 && r[k].ResponseSec > 0 && b.variance[k] == 0 {
			first := r[k].TypicalSec
			if first <= 0 {
				first = r[k].ResponseSec
			}
			b.log[k], b.variance[k] = math.Log(first), p.ClassSD*p.ClassSD
			if len(r) == 1 {
				b.variance[k] = p.FloorNoise * p.FloorNoise
			}
		}
	}
	work, done, count, spread := 0.0, 0.0, 0.0, 0.0
	for k := range r {
		done += r[k].DonePerSec
		if b.variance[k] > 0 {
			if len(r) > 1 {
				work += r[k].DonePerSec * math.Exp(b.log[k])
			}
			count += r[k].Count
			spread += r[k].Count * s.spread(k)
		}
	}
	expected := b.log[0] // log s of service per completion
	if len(r) > 1 {
		expected = math.Log(work / done)
	}
	if !(count > 0) || math.IsInf(expected, -1) || math.IsInf(v.perRequest, -1) {
		return
	}
	// All classes together.
	model := p.ModelNoise*p.ModelNoise*v.waited + p.FloorNoise*p.FloorNoise
	noise := spread/count/count + model
	e := v.perRequest - expected
	if known { // the logarithm of a mean of few is less than that of the mean, by half its variance
		e += math.Min(spread/count/count/2, mostBias)
	}
	if v.ended {
		e = min(e, 0)
	}
	if !known {
		b.common = noise + p.ModelNoise*p.ModelNoise
		b.shift(e)
	} else {
		b.common = min(b.common+drift, p.ApartSD*p.ApartSD)
		total := b.common + noise
		if z != nil {
			*z = e / math.Sqrt(total)
		}
		most := p.OutlierSD * math.Sqrt(total)
		counts := max(-most, min(most, e))
		gain := b.common / total
		b.shift(gain * counts)
		if b.slower = 0; e > most {
			b.slower = e - gain*counts
		}
		e = counts
		b.common *= 1 - gain
		b.evidence -= news * (e*e/total + math.Log(total)) / 2
	}
	if len(r) == 1 || v.ended {
		return
	}
	// Each class beside the others.
	for k := range r {
		if !(r[k].Count > 0) || !(r[k].ResponseSec > 0) {
			continue
		}
		service := max(r[k].ResponseSec-v.wait, p.LeastPart*r[k].ResponseSec)
		noise := s.spread(k)/r[k].Count + model + p.SampleShare*v.wait*v.wait/(service*service*r[k].Count)
		b.variance[k] = min(b.variance[k]+drift, p.ApartSD*p.ApartSD)
		e, total := math.Log(service)-b.log[k], b.variance[k]+noise
		most := p.OutlierSD * math.Sqrt(total)
		e = max(-most, min(most, e))
		gain := b.variance[k] / total
		b.log[k] = max(-mostLog, min(mostLog, b.log[k]+gain*e))
		b.variance[k] *= 1 - gain
	}
}

// queueEnded is the part of the requests inside in the interval before, from which on fewer are a queue that ended.
const queueEnded = 0.1

// mostLog bounds log service times: from 0.1 µs to four months.
const mostLog = 16

// mostBias bounds what the logarithm of a mean of few is said to be too small by: beyond it half the variance is no
// longer what it is.
const mostBias = 0.5

// shift makes all classes slower by so much, in the logarithm.
func (b *believed) shift(by float64) {
	for k := range b.log {
		if b.variance[k] > 0 {
			b.log[k] = max(-mostLog, min(mostLog, b.log[k]+by))
		}
	}
}

// spread is the squared coefficient of variation of the response times of a class.
func (s *Server) spread(class int) float64 {
	if s.scv[class] > 0 {
		return s.scv[class]
	}
	return 1 // exponential
}

// weigh keeps the evidence relative to the best number of slots and bounded, so that what was believed for hours can
// be unlearned.
func (s *Server) weigh(p *params.Params) {
	most := math.Inf(-1)
	for h := range s.slots {
		most = max(most, s.slots[h].evidence)
	}
	for h := range s.slots {
		s.slots[h].evidence = max(s.slots[h].evidence-most, -p.EvidenceMost)
	}
}

// unsettle forgets speeds after a change of the server: slots rarely change, so half of what is known of them stays.
func (s *Server) unsettle(p *params.Params) {
	for h := range s.slots {
		b := &s.slots[h]
		b.evidence /= 2
		b.common += p.ChangeSD * p.ChangeSD
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

// Waiting is the share of the response times of the last interval that was waiting, by the most probable number of
// slots.
func (s *Server) Waiting() float64 { return s.waited }

// Utilisation is the share of the slots that were busy in the last interval, over the numbers of slots.
func (s *Server) Utilisation() float64 { return s.used }
