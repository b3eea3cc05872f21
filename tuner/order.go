package tuner

import (
	"math"
	"time"

	"trimtab/vts"
)

// order is a change of a pool that was decided and is not known to be in force yet: applying may fail, and what the
// observations show is what counts.
type order struct {
	asked   Weights // what was decided; nil: nothing is pending
	without force   // what is in force unless the change is
	waited  int     // intervals since the decision
	refused bool    // it was not in force when it should have been: force is what was before
}

// orderMost is how many intervals a change may take until it is given up.
const orderMost = 3

// confirm credits the change that was decided last only if it is in force.
func (p *pool) confirm(current Weights, operator bool) {
	if p.asked == nil {
		return
	}
	inForce := true
	for name, m := range p.asked {
		inForce = inForce && sameGroup(m, current[name])
	}
	p.waited++
	switch {
	case operator:
		p.order = order{}
	case inForce && p.refused: // late
		p.force, p.order = p.without, order{}
		p.since, p.fresh = 0, true
	case inForce:
		p.order = order{}
	case p.waited > orderMost:
		p.order = order{}
	case !p.refused:
		p.refused = true
		p.without.changes = p.changes // the count tells operating points apart: it never goes back
		p.without.since += p.since
		p.force, p.without = p.without, p.force
	}
}

// What was learned before a gap in the telemetry is believed less after it.
const (
	blindAfter = 2 * time.Minute  // a gap shorter than this changes nothing
	blindHalf  = 10 * time.Minute // the gap after which half is believed
)

// blind discounts what was learned when the sample comes after a long gap. During the gap the weights were held: nothing
// could have confirmed a change, and those in force were the last ones known to work. After it servers that are hardly
// known any more get the safe prior only, until they have been seen again.
func (t *Tuner) blind(s *vts.Sample) {
	last := t.seen
	t.seen = s.At
	if last.IsZero() {
		return
	}
	gap := s.At.Sub(last) - s.Interval
	if gap < blindAfter {
		return
	}
	keep := math.Exp2(-float64(gap) / float64(blindHalf))
	for _, p := range t.topo.pools {
		for _, st := range p.stations {
			for i := range st.points {
				st.points[i].fade(keep)
			}
			st.inside, st.full, st.draining = 0, false, false
		}
		t.memory(p).doubt()
	}
}
