package tuner

import "math"

// expectation is what is expected of a station before looking at what it did: what the other servers of its pool are
// like. Servers are mostly alike, or differ by a factor that is common to all classes; the noise of single stations
// must not look like a difference, least of all while they have only been seen with requests waiting. So classes are
// pulled towards typical·speed, and the speed towards 1: hard while the differences are small, hardly at all once a
// station has shown them without waiting.
type expectation struct {
	typical []float64 // by link, s; 0: nothing expected
	weight  []float64 // precision of log service around typical·speed
	speed   float64   // expected log speed factor
	stiff   float64   // its precision
	slots   [slotChoices]float64
}

const (
	alike     = 0.05 // log difference of service times below which servers count as alike
	speedFree = 0.6  // standard deviation of the log speed of a server not seen alone
	classFree = 0.2  // the same of a class beside the others of its server
	slotsFree = 0.5  // prior probability that a server's slots are not like the others'
	plausible = 5.0  // nats by which a number of slots may explain what was seen worse than the best one does
)

// expect sets what the groups of a pool expect of a server from the last fits. It returns the sums of the probabilities
// of every number of slots over the known stations, and how many those are.
func (p *pool) expect() (others [slotChoices]float64, n float64) {
	for _, g := range p.groups {
		g.typical = g.typicalService()
	}
	for _, s := range p.stations {
		if len(s.likely) == 0 {
			continue
		}
		n++
		for h := range others {
			others[h] += s.fit[h].posterior
		}
	}
	return others, n
}

// expectFrom sets the expectations of a station.
func (s *station) expectFrom(others *[slotChoices]float64, n float64) {
	e := s.expected
	if e == nil {
		e = &expectation{typical: make([]float64, len(s.links)), weight: make([]float64, len(s.links))}
		s.expected = e
	}
	known := len(s.likely) > 0
	if known {
		n--
	}
	for h, c := range slotGrid {
		broad := broadSlots(c)
		if n > 0 {
			like := others[h]
			if known {
				like -= s.fit[h].posterior
			}
			broad = slotsFree*broad + (1-slotsFree)*math.Max(like, 0)/n
		}
		e.slots[h] = math.Log(math.Max(broad, 1e-6))
	}
	speed, count := 0.0, 0.0
	for i, l := range s.links {
		e.typical[i] = l.group.typical
		if known && l.group.typical > 0 {
			speed += math.Log(s.serviceOf(i) / l.group.typical)
			count++
		}
	}
	seen := 0.0
	if count > 0 {
		speed /= count
		seen = s.alone()
	}
	e.speed = speed * speed * speed / (speed*speed + alike*alike) * seen
	e.stiff = 1 / (alike*alike + math.Pow(math.Max(math.Abs(speed)*seen, speedFree*(1-seen)), 2))
	for i := range s.links {
		apart := classFree
		if known && e.typical[i] > 0 {
			apart = math.Abs(math.Log(s.serviceOf(i)/e.typical[i])-speed) * seen
			apart = math.Max(apart, classFree*(1-seen))
		}
		e.weight[i] = 0
		if e.typical[i] > 0 {
			e.weight[i] = 1 / (alike*alike + apart*apart)
		}
	}
}

// speedOf sets apart to the log factors between service times and the typical ones, and returns their mean and over how
// many classes.
func (e *expectation) speedOf(apart, service []float64) (speed, known float64) {
	for g, v := range service {
		apart[g] = 0
		if e.typical[g] > 0 {
			apart[g] = math.Log(v / e.typical[g])
			speed += apart[g]
			known++
		}
	}
	return speed / math.Max(known, 1), known
}

// alone is how nearly a station was ever certainly seen without waiting, 0…1: by the number of slots that says the least
// of all those that explain what was seen, whatever was expected.
func (s *station) alone() float64 {
	best := s.leastMisfit()
	least := 1.0
	for h := range s.fit {
		f := &s.fit[h]
		if len(f.service) == len(s.links) && f.misfit <= best+plausible {
			least = math.Min(least, s.aloneBy(f))
		}
	}
	return least
}

func (s *station) aloneBy(f *fitted) float64 {
	best := 0.0
	for i := range s.points {
		p := &s.points[i]
		for g, n := range p.count {
			if n >= 5 {
				a := f.service[g] / math.Exp(p.latency[g])
				best = math.Max(best, math.Min(a*a, 1)*p.weight/(p.weight+1))
			}
		}
	}
	return best
}

// broadSlots is the prior of a number of slots: lognormal around 6, a factor of 4 either way, over slotGrid.
func broadSlots(c float64) float64 {
	z := math.Log(c/6) / math.Log(4)
	return 0.17 * math.Exp(-z*z/2)
}
