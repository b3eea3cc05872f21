package pursuit

import "math"

// arrivals follows how many requests of a service are offered, and how regularly: the mean since the load last changed, over at most
// rateMemory, and the ratio of the variance of counts to their mean, which is 1 for a Poisson stream and the squared coefficient of
// variation of the gaps for a renewal process.
type arrivals struct {
	count, sec float64 // behind the rate
	dispersion float64 // mean of squared standard deviations from the rate
	weight     float64 // intervals behind it
	changed    bool    // the last interval was of another load
}

const (
	rateMemory       = 60.0 // s: how long a load counts as the same while it differs by chance only
	rateSurprise     = 2.8  // standard deviations of an interval that are no chance: once in two hundred intervals of 5 s
	dispersionPrior  = 6.0  // intervals' worth of belief in a Poisson stream before anything was seen
	dispersionMemory = 120  // intervals' worth at most
	dispersionLeast  = 0.02
)

// observe takes in the requests of an interval.
func (a *arrivals) observe(count, seconds float64) {
	a.changed = false
	if a.sec == 0 {
		a.count, a.sec = count, seconds
		return
	}
	mean := a.count / a.sec * seconds
	scale := math.Max(mean, 0.5) * (1 + seconds/a.sec)
	z2 := (count - mean) * (count - mean) / scale
	if math.Sqrt(z2/a.regular()) > rateSurprise && math.Abs(count-mean) > 2 {
		a.count, a.sec, a.changed = count, seconds, true
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
