package daemon

import (
	"fmt"
	"time"

	"trimtab/control"
	"trimtab/vts"
	"trimtab/weights"
)

// How the daemon goes on after internal faults of the step: at once after the first two, and then, for as long as each
// comes within faultMemory of the one before, after a rest that doubles. A rest longer than a few intervals is what
// keeps a fault that comes with every change from becoming a reload loop.
const (
	patientFaults = 2
	firstRest     = 30 * time.Second
	longestRest   = 30 * time.Minute
	faultMemory   = time.Hour
	// probation is how long a policy that was begun anew has to work before what it has learned replaces what was kept.
	probation = 5 * time.Minute
)

// recovery remembers internal faults of the step. The zero value has seen none.
type recovery struct {
	count int       // in a row
	last  time.Time // when the last one was
	until time.Time // no policy is asked before
}

// fault takes one more into account and returns the rest that follows.
func (r *recovery) fault(now time.Time) (rest time.Duration) {
	if now.Sub(r.last) > faultMemory {
		r.count = 0
	}
	r.count++
	r.last = now
	if r.count > patientFaults {
		rest = longestRest
		if shift := r.count - patientFaults - 1; shift < 10 {
			rest = min(rest, firstRest<<shift)
		}
	}
	r.until = now.Add(rest)
	return rest
}

// resting says why no policy is asked now; empty: one is.
func (r *recovery) resting(now time.Time) string {
	left := r.until.Sub(now)
	if left <= 0 {
		return ""
	}
	return fmt.Sprintf("%s: %d in a row, the learner rests for %s", internalFault, r.count, left.Round(time.Second))
}

// onProbation reports whether the policy was begun anew so recently that what it knows is not worth keeping.
func (r *recovery) onProbation(now time.Time) bool { return r.count > 0 && now.Sub(r.last) < probation }

// fromKept reports whether the next policy begins with what was kept: every other time, since that may be what it
// cannot bear.
func (r *recovery) fromKept() bool { return r.count%2 == 1 }

// resting is the policy while none is asked: it wants nothing.
type resting struct{ reason string }

var _ control.Policy = resting{}

// Observe implements control.Policy.
func (resting) Observe(vts.Sample, weights.Set) {}

// Choose implements control.Policy.
func (r resting) Choose() control.Decision { return control.Decision{Reason: r.reason} }

// Committed implements control.Policy.
func (resting) Committed(control.Receipt) {}
