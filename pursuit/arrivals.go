package pursuit

import "math"

// arrivals follows how many requests of a service are offered, and how regularly: the mean since the load last changed,
// over at most rateMemory, and the ratio of the variance of counts to their mean, which is 1 for a Poisson stream and
// the squared coefficient of variation of the gaps for a renewal process.
type arrivals struct {
	count, sec float64 // behind the rate
	dispersion float64 // mean of squared standard deviations from the rate
	weight     float64 // intervals behind it
	guessed    bool    // the last interval's count was a guess: servers did not finish what came
	known      counted // behind the rate before guesses began
}

// counted are requests and the time in which they came.
type counted struct{ count, sec float64 }

const (
	rateMemory = 60.0 // s: how long a load counts as the same while it differs by chance only
	// standard deviations of an interval that are no chance: once in two hundred intervals of 5 s
	rateSurprise     = 2.8
	dispersionPrior  = 6.0 // intervals' worth of belief in a Poisson stream before anything was seen
	dispersionMemory = 120 // intervals' worth at most
	dispersionLeast  = 0.02
)

const (
	baseMemory   = 3600.0 // s in which a response time that is never reached again is forgotten
	chanceOfBase = 0.9    // of a response time without waiting, down to which a lower one is chance
	chanceWeight = 0.25   // that a lower one has then
	baseEnough   = 16.0   // requests that are taken together: of fewer the least mean is far less than one takes
	waitsAsLong  = 2.0    // times the response time without waiting, from which most of it is waiting
	// of what arrived before, from which servers finish as much as ever
	finishesAsMany = 0.9
	growsMost      = 0.85 // s of response time per s of control time, at most: beyond it all is chance
)

// quiet is what a server shows of an upstream: how long it takes without waiting, and what it finished in the last
// interval.
type quiet struct {
	base float64 // s: the least mean of late
	done float64 // per s
	did  float64 // and in the one before
	took float64 // s: mean response time of the last interval
	last float64 // s: and of the one before
	held float64 // requests at the server at the end of the last interval, where most of them wait; else 0
	end  float64 // s that who would come now takes, as far as the last two intervals tell; 0: nothing waits
	sent []span  // the last one first
	few  few     // requests that do not count towards the base yet
}

// few are requests, the time in which they came, and the sum of their response times.
type few struct{ count, sec, responseSec float64 }

// waits reports whether most of the last response times was waiting.
func (q *quiet) waits() bool { return q.base > 0 && q.took >= waitsAsLong*q.base }

// span is how many requests per second were sent for so long.
type span struct{ seconds, perSec float64 }

// mostSpans bounds the memory of what was sent.
const mostSpans = 64

// queue says how many requests are at the server at the end of an interval in which sent per second were sent to it:
// who left in its middle had come as long before as answers took, so that all who came since then, less those who left
// since, are there. It takes nothing from the interval before but what was sent, so that no error adds up.
func (q *quiet) queue(sent, seconds float64) {
	q.sent = append([]span{{seconds, sent}}, q.sent[:min(len(q.sent), mostSpans-1)]...)
	if q.held = 0; !q.waits() {
		return
	}
	came, left := 0.0, q.took+seconds/2
	for i, s := range q.sent {
		part := math.Min(left, s.seconds)
		if i == len(q.sent)-1 {
			part = left
		}
		came += part * s.perSec
		left -= part
	}
	q.held = math.Max(0, came-q.done*seconds/2)
	if q.held == 0 && q.took >= q.last && q.done >= finishesAsMany*q.did { // ever longer: more came than was thought
		q.held = sent * q.took
	}
}

func (q *quiet) observe(c seenClass, seconds float64) {
	q.did, q.done, q.last, q.took = q.done, c.perSec, q.took, c.responseSec
	if !(c.responseSec > 0) {
		return
	}
	q.few.count, q.few.sec, q.few.responseSec = q.few.count+c.count, q.few.sec+seconds,
		q.few.responseSec+c.count*c.responseSec
	if q.base > 0 && q.few.count < baseEnough {
		return
	}
	mean, sec := q.few.responseSec/q.few.count, q.few.sec
	q.few = few{}
	switch {
	case q.base == 0 || mean < chanceOfBase*q.base:
		q.base = mean
	case mean < q.base: // the least of many means is less than a request takes
		q.base += chanceWeight * (mean - q.base)
	default:
		q.base += (1 - math.Exp(-sec/baseMemory)) * (math.Min(mean, waitsAsLong*q.base) - q.base)
	}
}

// arrived is how many requests came in the interval that was observed last, in which so many were finished. While most
// of the response time is waiting, that of who leaves a queue grows by 1 − X/λ per second, X being what is finished and
// λ what arrives. In the first interval of a queue the mean is of who came before it too, so that it grew by once to
// twice as much: there, as many are taken to arrive as before, was, as far as that goes with either, unless as many are
// finished: a server that lost nothing has a queue because more arrives. waits says that what was finished is not what
// came.
func (q *quiet) arrived(finished, seconds, was float64) (came float64, waits bool) {
	q.end = 0
	if !(finished > 0) || !(q.took > 0) || !(q.last > 0) || math.Max(q.took, q.last) < waitsAsLong*q.base {
		return finished, false
	}
	grew := q.took - q.last
	by := func(growth float64) float64 {
		return finished / (1 - math.Max(-1, math.Min(growsMost, growth/seconds)))
	}
	if q.last >= waitsAsLong*q.base {
		q.end = math.Max(0, q.took+grew/2)
		return by(grew), true
	}
	q.end = q.took + grew
	if finished >= finishesAsMany*was {
		return by(2 * grew), true
	}
	return math.Max(by(grew), math.Min(was, by(2*grew))), true
}

// observe takes in the requests of an interval. What is guessed while queues hide how many come serves as long as they
// do: then what was counted before holds again, until a count contradicts it.
func (a *arrivals) observe(count, seconds float64, guess bool) {
	switch {
	case guess && !a.guessed:
		a.known = counted{a.count, a.sec}
	case a.guessed && !guess:
		a.count, a.sec = a.known.count, a.known.sec
	}
	a.guessed = guess
	if a.sec == 0 {
		a.count, a.sec = count, seconds
		return
	}
	mean := a.count / a.sec * seconds
	scale := math.Max(mean, 0.5) * (1 + seconds/a.sec)
	z2 := (count - mean) * (count - mean) / scale
	if math.Sqrt(z2/a.regular()) > rateSurprise && math.Abs(count-mean) > 2 {
		a.count, a.sec = count, seconds
		return
	}
	a.dispersion += z2
	if a.weight++; a.weight > dispersionMemory {
		keep := dispersionMemory / a.weight
		a.dispersion, a.weight = a.dispersion*keep, dispersionMemory
	}
	a.count, a.sec = a.count+count, a.sec+seconds
	if a.sec > rateMemory {
		keep := rateMemory / a.sec
		a.count, a.sec = a.count*keep, rateMemory
	}
}

// uncertain is the standard deviation of the logarithm of the rate.
func (a *arrivals) uncertain() float64 {
	return math.Min(uncertainMost, math.Hypot(math.Sqrt(a.regular()/math.Max(a.count, 1)), uncertainLeast))
}

const (
	uncertainLeast = 0.04 // loads drift
	uncertainMost  = 0.3
)

// perSec is the rate, 0 before the first interval.
func (a *arrivals) perSec() float64 {
	if a.sec == 0 {
		return 0
	}
	return a.count / a.sec
}

// regular is the squared coefficient of variation of the gaps.
func (a *arrivals) regular() float64 {
	return math.Max(dispersionLeast, (a.dispersion+dispersionPrior)/(a.weight+dispersionPrior))
}

// kind is the kind of arrivals of the twin that is nearest.
func (a *arrivals) kind() string {
	switch r := a.regular(); {
	case r < normCV*normCV/2:
		return "fixed"
	case r < 0.4:
		return "norm"
	}
	return "exp"
}
