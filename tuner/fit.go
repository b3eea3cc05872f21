package tuner

import (
	"math"
	"slices"
)

const (
	fitSteps      = 6
	fitStepsLarge = 3
	fitDone       = 1e-3        // largest change of a log service time that ends a fit
	fitStride     = 0.7         // largest change in one step
	priorMost     = 2           // nats beyond which expected service times count less and less for or against a number of slots
	drift         = 0.01        // change of the speed of a server per interval that is no surprise: what is old is believed less
	spreadFirst   = 0.15 * 0.15 // variance between intervals before it is measured
	pointMost     = 20          // nats beyond which one operating point counts less and less against a number of slots
	fullCount     = 400         // requests' worth of one saturated interval
	modelNoise    = 0.03        // relative error of the formula itself
	waitNoise     = 0.2         // relative error of its waiting time
	youngNoise    = 0.3         // that of a queue that is still growing
)

// fitter is the scratch space of one fit: a weighted least squares problem in the logarithms of the service times,
// linearised at every operating point, and solved by damped Gauss–Newton steps. All classes of a server wait in one
// queue, so that the problem is stiff in one direction (all service times together) and soft in the others: single
// classes cannot be stepped one by one.
type fitter struct {
	try        []float64 // service times
	lines      []line
	down, diag []float64 // steepest descent, diagonal of the curvature
	step       []float64
	r, z, p, q []float64 // of the conjugate gradients
	ahead      []float64
	apart      []float64 // log of the service times over the typical ones, 0 where none is expected
	priorK     float64   // weight of the prior, by how far it is contradicted
}

// line is one operating point linearised at a fit: J = diag(own) + all·partᵀ with the precision
// diag(inv) − common·(inv∘dir)(inv∘dir)ᵀ.
type line struct {
	res, inv, dir, own, all, part []float64
	common, weight                float64
	full                          float64 // precision of the saturated capacity, 0: never saturated
	fullRes                       float64
	fullPart                      []float64
}

// size makes room for so many classes and points.
func (f *fitter) size(n, points int) {
	if len(f.try) == n && len(f.lines) >= points {
		return
	}
	for len(f.lines) < points {
		f.lines = append(f.lines, line{})
	}
	vectors := []*[]float64{&f.try, &f.down, &f.diag, &f.step, &f.r, &f.z, &f.p, &f.q, &f.ahead, &f.apart}
	for i := range f.lines {
		l := &f.lines[i]
		vectors = append(vectors, &l.res, &l.inv, &l.dir, &l.own, &l.all, &l.part, &l.fullPart)
	}
	for _, v := range vectors {
		*v = slices.Grow((*v)[:0], n)[:n]
	}
}

// fitSlots fits the service times for slotGrid[h] and scores the result.
func (s *station) fitSlots(w *waits, h int, prior *expectation, cv2 []float64) {
	f := &s.fit[h]
	n := len(s.links)
	if len(f.service) != n {
		f.service = make([]float64, n)
	}
	for g := range f.service {
		if f.service[g] <= 0 {
			f.service[g] = s.firstGuess(g, prior.typical[g])
		}
	}
	if s.fitter == nil {
		s.fitter = &fitter{}
	}
	fit := s.fitter
	fit.size(n, len(s.points))
	loss, data := s.linearise(f.service, w, h, prior, cv2)
	damping := 1e-3
	steps, most := fitSteps, solveMost
	if !s.every { // a large world: the next fit goes on from here
		steps, most = fitStepsLarge, solveMostLarge
	}
	for range steps {
		fit.solve(len(s.points), most, prior, damping)
		longest := 0.0
		for _, d := range fit.step {
			longest = math.Max(longest, math.Abs(d))
		}
		scale := 1.0
		if longest > fitStride {
			scale = fitStride / longest
		}
		for g := range fit.try {
			fit.try[g] = f.service[g] * math.Exp(scale*fit.step[g])
		}
		next, misfit := s.linearise(fit.try, w, h, prior, cv2)
		if next <= loss {
			copy(f.service, fit.try)
			better := loss - next
			loss, data = next, misfit
			damping = math.Max(damping/5, 1e-4)
			if longest < fitDone || better < 1e-3 {
				break
			}
			continue
		}
		damping = damping*10 + 0.01
		if longest < fitDone || damping > 1e4 {
			break
		}
		s.linearise(f.service, w, h, prior, cv2)
	}
	f.misfit = data
	f.loss = loss - prior.slots[h] - s.slots[h]
	f.proven = 0
	for i := range s.points {
		p := &s.points[i]
		_, rho := mix(p.rate, f.service, slotGrid[h])
		if p.full > 0 {
			rho = 1
		}
		f.proven = math.Max(f.proven, math.Min(rho, 1))
	}
}

// linearise fills the lines, the descent and the diagonal of the curvature for service times, and returns the loss
// and the part of it that what was seen makes.
func (s *station) linearise(service []float64, w *waits, h int, prior *expectation, cv2 []float64) (total, data float64) {
	f := s.fitter
	clear(f.down)
	clear(f.diag)
	loss := 0.0
	for i := range s.points {
		loss += s.points[i].line(s, &f.lines[i], service, w, h, cv2)
		f.lines[i].addTo(f.down, f.diag)
	}
	speed, known := prior.speedOf(f.apart, service)
	against := 0.0
	for g, v := range f.apart {
		if k := prior.weight[g]; k > 0 {
			r := v - speed
			against += k * r * r / 2
		}
	}
	against += prior.stiff * (speed - prior.speed) * (speed - prior.speed) / 2
	f.priorK = 1 / (1 + against/priorMost)
	if known > 0 {
		lean := 0.0 // Σ k·r, what all together lose by the mean that is taken out of each
		for g, v := range f.apart {
			if k := prior.weight[g]; k > 0 {
				r := v - speed
				lean += k * r
				f.down[g] -= f.priorK * k * r
				f.diag[g] += f.priorK * k
			}
		}
		for g := range service {
			if prior.typical[g] > 0 {
				f.down[g] += f.priorK * (lean - prior.stiff*(speed-prior.speed)) / known
				f.diag[g] += f.priorK * prior.stiff / (known * known)
			}
		}
	}
	return loss + priorMost*math.Log1p(against/priorMost), loss
}

// line linearises a point at service times and returns its loss in nats.
func (p *point) line(s *station, l *line, service []float64, w *waits, h int, cv2 []float64) float64 {
	wait, slope, rho, loss := p.residuals(s, l.res, l.inv, l.dir, service, w, h, cv2, &l.common)
	steep := wait + slope*rho
	work, _ := mix2(p.rate, service)
	for g, v := range service {
		l.own[g], l.all[g], l.part[g] = 0, 0, 0
		if work > 0 {
			l.part[g] = p.rate[g] * v / work
		}
		if l.inv[g] > 0 {
			l.own[g] = v / (v + wait)
			l.all[g] = steep / (v + wait)
		}
	}
	l.full = 0
	if p.full > 0 {
		if use, _ := mix2(p.done, service); use > 0 {
			l.full = 1 / (1/(p.full*fullCount) + (1+mean(cv2))/math.Max(p.finished, 1) + drift*drift*p.age)
			l.fullRes = math.Log(slotGrid[h] / use)
			loss += l.full * l.fullRes * l.fullRes
			for g, v := range service {
				l.fullPart[g] = p.done[g] * v / use
			}
		}
	}
	l.weight = 1 / (1 + loss/2/pointMost)
	return pointMost * math.Log1p(loss/2/pointMost)
}

// addTo adds the point's steepest descent and the diagonal of its curvature.
func (l *line) addTo(down, diag []float64) {
	jr := 0.0
	for g, r := range l.res {
		jr += l.dir[g] * l.inv[g] * r
	}
	jr *= l.common
	sum := 0.0
	for g := range down {
		if l.inv[g] == 0 {
			continue
		}
		y := l.inv[g] * (l.res[g] - l.dir[g]*jr)
		down[g] += l.weight * l.own[g] * y
		sum += l.all[g] * y
		a := l.own[g] + l.all[g]*l.part[g]
		diag[g] += l.weight * l.inv[g] * a * a
	}
	for g := range down {
		down[g] += l.weight * l.part[g] * sum
		if l.full > 0 {
			e := l.fullPart[g]
			down[g] += l.weight * l.full * e * l.fullRes
			diag[g] += l.weight * l.full * e * e
		}
	}
}

// curve adds the point's curvature times v to out; ahead is scratch.
func (l *line) curve(out, v, ahead []float64) {
	pv := 0.0
	for g, x := range v {
		pv += l.part[g] * x
	}
	along := 0.0
	for g, x := range v {
		ahead[g] = l.own[g]*x + l.all[g]*pv
		along += l.dir[g] * l.inv[g] * ahead[g]
	}
	along *= l.common
	sum := 0.0
	for g := range v {
		y := l.inv[g] * (ahead[g] - l.dir[g]*along)
		out[g] += l.weight * l.own[g] * y
		sum += l.all[g] * y
	}
	full := 0.0
	if l.full > 0 {
		for g, x := range v {
			full += l.fullPart[g] * x
		}
		full *= l.full
	}
	for g := range v {
		out[g] += l.weight * l.part[g] * sum
		if l.full > 0 {
			out[g] += l.weight * full * l.fullPart[g]
		}
	}
}

// curvature sets out to the damped curvature times v.
func (f *fitter) curvature(out, v []float64, points int, prior *expectation, damping float64) {
	for g, x := range v {
		out[g] = (damping*f.diag[g] + 1e-9) * x
	}
	for i := range f.lines[:points] {
		f.lines[i].curve(out, v, f.ahead)
	}
	mean, known := 0.0, 0.0
	for g, x := range v {
		if prior.typical[g] > 0 {
			mean += x
			known++
		}
	}
	if known == 0 {
		return
	}
	mean /= known
	lean := 0.0
	for g, x := range v {
		if k := prior.weight[g]; k > 0 {
			out[g] += f.priorK * k * (x - mean)
			lean += k * (x - mean)
		}
	}
	for g := range v {
		if prior.typical[g] > 0 {
			out[g] += f.priorK * (prior.stiff*mean - lean) / known
		}
	}
}

// solveMost bounds the conjugate gradients: exact for so many classes, enough for more.
const (
	solveMost      = 8
	solveMostLarge = 5
)

// solve sets step to the solution of (curvature)·step = descent, by conjugate gradients preconditioned with the
// diagonal.
func (f *fitter) solve(points, most int, prior *expectation, damping float64) {
	clear(f.step)
	copy(f.r, f.down)
	rz := f.precondition()
	first := rz
	copy(f.p, f.z)
	for range min(most, 2*len(f.step)) {
		if rz <= 1e-8*first || rz <= 0 {
			return
		}
		f.curvature(f.q, f.p, points, prior, damping)
		pq := 0.0
		for g := range f.p {
			pq += f.p[g] * f.q[g]
		}
		if pq <= 0 {
			return
		}
		a := rz / pq
		for g := range f.step {
			f.step[g] += a * f.p[g]
			f.r[g] -= a * f.q[g]
		}
		was := rz
		rz = f.precondition()
		for g := range f.p {
			f.p[g] = f.z[g] + rz/was*f.p[g]
		}
	}
}

func (f *fitter) precondition() float64 {
	rz := 0.0
	for g, r := range f.r {
		f.z[g] = r / (f.diag[g] + 1e-9)
		rz += r * f.z[g]
	}
	return rz
}

// residuals compares a point with a fit, by class in log latency. All classes of a server wait in one queue, so that
// an error of the waiting time, be it the formula's or chance, shows in all of them in proportion to their waiting:
// the covariance is diagonal plus one common direction, inverted by Sherman and Morrison. res, inv and dir are
// by class: residual, precision, common direction; common is the factor of the correction. It returns the wait in s,
// its slope by utilisation, the utilisation, and twice the loss.
func (p *point) residuals(s *station, res, inv, dir, service []float64, w *waits, h int, cv2 []float64, common *float64) (wait, slope, rho, loss float64) {
	mean, rho := mix(p.rate, service, slotGrid[h])
	v := s.flow(p.arrivals, p.rate, service)
	unit, unitSlope := w.at(h, rho, v)
	young := 0.0
	if p.stay > 0 && !s.pooled {
		unit, unitSlope, young = p.soFar(unit, unitSlope, mean, rho, v)
	}
	wait, slope = mean*unit, mean*unitSlope
	share, n := 0.0, 0.0
	for g := range service {
		res[g], inv[g], dir[g] = 0, 0, 0
		if p.count[g] <= 0 {
			continue
		}
		latency := service[g] + wait
		res[g] = p.latency[g] - math.Log(latency)
		inv[g] = 1 / (cv2[g]/p.count[g] + modelNoise*modelNoise + drift*drift*p.age)
		dir[g] = wait / latency
		share += dir[g]
		n++
	}
	*common = 0
	if n == 0 {
		return wait, slope, rho, 0
	}
	share /= n
	jj, jr, rr := 0.0, 0.0, 0.0
	for g := range service {
		if inv[g] == 0 {
			continue
		}
		if share > 0.02 {
			dir[g] /= share
		} else {
			dir[g] = 1
		}
		jj += dir[g] * dir[g] * inv[g]
		jr += dir[g] * res[g] * inv[g]
		rr += res[g] * res[g] * inv[g]
	}
	variance := (waitNoise*waitNoise+youngNoise*youngNoise*young*young)*share*share + p.spread/math.Max(p.weight, 1)
	*common = variance / (1 + variance*jj)
	return wait, slope, rho, rr - *common*jr*jr
}

// mean of v, 0 when there is none.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(len(v), 1))
}
