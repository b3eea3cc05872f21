package tuner

import "math"

// refit fits every number of slots to the points, warm from the last fit, and returns the work that was.
func (s *station) refit(w *waits, prior *expectation, cv2 []float64) (work int) {
	s.fits++
	for h := range s.fit {
		// What is unlikely is fitted in turn: a new number of slots becomes likely over several intervals.
		if s.every || s.fits < 8 || s.changed || s.fit[h].posterior > 1e-2 || h%4 == s.fits%4 || len(s.fit[h].service) == 0 {
			s.fitSlots(w, h, prior, cv2)
			work += s.fitWork(1)
		}
	}
	if s.every {
		work += s.unstick(w, prior, cv2)
	}
	best := s.leastMisfit()
	s.remember(best)
	least := math.Inf(1)
	for h := range s.fit {
		least = math.Min(least, s.lossOf(h, best))
	}
	sum := 0.0
	for h := range s.fit {
		s.fit[h].prob = math.Exp(least - s.lossOf(h, best))
		sum += s.fit[h].prob
	}
	for h := range s.fit {
		s.fit[h].posterior = s.fit[h].prob / sum
	}
	s.represent()
	return work
}

// stuck is by how many nats a fit must be worse than those of both neighbouring numbers of slots to be made again.
const stuck = 1.0

// unstick fits a number of slots again, from between the service times of its neighbours, when both explain what was seen much better: the
// fit had come to rest where it is not the best. It returns the work that makes.
func (s *station) unstick(w *waits, prior *expectation, cv2 []float64) (work int) {
	for h := 1; h < slotChoices-1; h++ {
		f, below, above := &s.fit[h], &s.fit[h-1], &s.fit[h+1]
		if f.misfit < math.Max(below.misfit, above.misfit)+stuck {
			continue
		}
		was := *f
		was.service = clone(f.service)
		for g := range f.service {
			f.service[g] = math.Sqrt(below.service[g] * above.service[g])
		}
		s.fitSlots(w, h, prior, cv2)
		work += s.fitWork(1)
		if f.loss > was.loss {
			*f = was
		}
	}
	return work
}

// The evidence against a number of slots outlives the operating points that it comes from: those are forgotten within
// minutes of a steady load, lest speeds that drift be mistaken for waiting, but slots rarely change.
const (
	rememberIn  = 60    // intervals in which evidence is taken in
	rememberFor = 28800 // intervals after which most of it has faded: a day at 3 s
	rememberTop = 4.0   // nats of it at most
)

// remember takes in what the points say of the slots now; best is their least misfit.
func (s *station) remember(best float64) {
	for h := range s.fit {
		now := math.Min(s.fit[h].misfit-best, rememberTop)
		if now > s.against[h] {
			s.against[h] += (now - s.against[h]) / rememberIn
		} else {
			s.against[h] -= s.against[h] / rememberFor
		}
	}
}

// lossOf is −log posterior of a number of slots: what is remembered counts where the points say less by now.
func (s *station) lossOf(h int, best float64) float64 {
	f := &s.fit[h]
	return f.loss + math.Max(0, s.against[h]-(f.misfit-best))
}

// leastMisfit is that of the number of slots that explains best what was seen, whatever was expected.
func (s *station) leastMisfit() float64 {
	best := math.Inf(1)
	for h := range s.fit {
		best = math.Min(best, s.fit[h].misfit)
	}
	return best
}

// represent chooses the numbers of slots that stand for all others: the middles of equal parts of their probability.
// Few and many slots often explain the latencies of one load equally well, as long waits or as slow service; a plan has
// to be good for both.
func (s *station) represent() {
	s.likely = s.likely[:0]
	for h := range s.fit {
		s.fit[h].prob = 0
	}
	s.sure = slotGrid[0]
	for h, below := 0, 0.0; h < slotChoices; h++ {
		s.sure = slotGrid[h]
		if below += s.fit[h].posterior; below >= doubtful {
			break
		}
	}
	below, h := 0.0, 0
	for k := range likelyMost {
		middle := (float64(k) + 0.5) / likelyMost
		for h < slotChoices-1 && below+s.fit[h].posterior < middle {
			below += s.fit[h].posterior
			h++
		}
		if len(s.likely) == 0 || s.likely[len(s.likely)-1] != h {
			s.likely = append(s.likely, h)
		}
		s.fit[h].prob += 1.0 / likelyMost
	}
}
