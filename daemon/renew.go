package daemon

import (
	"errors"
	"reflect"

	"trimtab/control"
	"trimtab/pursuit"
)

// install gives a session a policy that begins with what was kept, or anew.
func (d *Service) install(s *Session, fromKept bool) {
	p, err := d.newPolicy(s)
	if fromKept && err == nil && d.state.Snapshot != nil {
		var refused error
		fault := d.contain(inPolicy, func() { refused = restoreTo(p, d.state.Snapshot) })
		if fault != nil || refused != nil {
			d.log.Warn("what was learned before cannot be used, beginning anew", "error", errors.Join(fault, refused))
			p, err = d.newPolicy(s) // the other one may have taken over half of it
		}
	}
	if err != nil {
		d.log.Error("no learner can be made: nothing is changed", "error", err)
		p = resting{reason: internalFault + ": no learner can be made"}
	}
	s.policy = p
}

// newPolicy returns a policy that has learned nothing.
func (d *Service) newPolicy(s *Session) (p control.Policy, err error) {
	if err := s.cfg.mayDecide(d.opts.Observe); err != nil {
		return nil, err
	}
	if fault := d.contain(inPolicy, func() { p, err = d.opts.NewPolicy(s.cfg) }); fault != nil {
		err = fault
	}
	if err != nil {
		return p, err
	}
	return s.joined(p)
}

// swap makes another session the current one; its policy, if it is to have another than the last one, takes over what
// was learned. A reload of the configuration renews no budget.
func (d *Service) swap(next *Session) {
	last := d.current()
	if next.own != nil && last.own != nil && reflect.DeepEqual(last.cfg.Actuator, next.cfg.Actuator) {
		next.own.Applier.Budget = last.own.Applier.Budget
	}
	// Shares that are refused are decided anew: whoever refused them may not know the upstream any more.
	last.letAllIn(d.log)
	if x, ok := last.policy.(*pursuit.Policy); ok {
		x.Released()
	}
	if reflect.DeepEqual(last.cfg.Tuner, next.cfg.Tuner) && last.cfg.samePursuit(next.cfg) &&
		reflect.DeepEqual(last.cfg.tunerConfig(), next.cfg.tunerConfig()) {
		next.policy = last.policy
	} else {
		d.carryOver(next, last.policy)
	}
	if p, err := next.joined(next.policy); err == nil { // one that was kept speaks over the session before
		next.policy = p
	}
	d.mu.Lock()
	d.session = next
	d.mu.Unlock()
	d.recovery = recovery{} // the new configuration may be the cure
	last.cancel()
	last.close()
}

// carryOver has the policy of a session go on where the last one stands, or else begin with what was kept.
func (d *Service) carryOver(next *Session, last control.Policy) {
	var err error
	fault := d.contain(inPolicy, func() { err = continueFrom(next.policy, last) })
	if fault == nil && err == nil {
		return
	}
	if !errors.Is(err, errOther) {
		d.log.Warn("what was learned cannot be taken over", "error", errors.Join(fault, err))
	}
	d.install(next, true)
}
