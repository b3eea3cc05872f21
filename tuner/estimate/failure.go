package estimate

import (
	"math"

	"trimtab/tuner/params"
)

// failures follows the share of requests of a class that a server fails.
type failures struct {
	asked, failed float64 // moving sums
}

// failuresFew are requests of which a server is expected to fail none, before it was asked any: one failure in a few is chance.
const failuresFew = 20

func (f *failures) observe(p *params.Params, seconds float64, r Reading) {
	keep := math.Exp(-seconds / p.FailureMemory)
	f.asked = keep*f.asked + r.Asked
	f.failed = keep*f.failed + math.Min(r.Failed, r.Asked)
}

// share is the probability that the server fails a request of the class.
func (f *failures) share() float64 { return f.failed / (f.asked + failuresFew) }
