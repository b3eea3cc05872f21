package daemon

import (
	"encoding/json"
	"errors"
	"fmt"

	"trimtab/control"
	"trimtab/tuner"
)

// explainer is a policy that can say why.
type explainer interface{ Explain() tuner.Explanation }

// learner is a policy that can be kept from one run to the next.
type learner interface {
	Snapshot() (tuner.Snapshot, error)
	Restore(tuner.Snapshot) error
}

// snapshotOf is what a policy has learned, as JSON; nil: it learns nothing that is kept. A number that JSON does not
// have is an error.
func snapshotOf(p control.Policy) (json.RawMessage, error) {
	l, ok := p.(learner)
	if !ok {
		return nil, nil
	}
	s, err := l.Snapshot()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	return text, nil
}

// restoreTo has a policy take over what snapshotOf returned for another one.
func restoreTo(p control.Policy, text json.RawMessage) error {
	l, ok := p.(learner)
	if !ok || len(text) == 0 {
		return nil
	}
	var s tuner.Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return l.Restore(s)
}

// explanationOf is what a policy says of its last decision, as JSON; nil: it says nothing.
func explanationOf(p control.Policy) (json.RawMessage, error) {
	x, ok := p.(explainer)
	if !ok {
		return nil, nil
	}
	return json.Marshal(x.Explain())
}

// errOther says that one policy cannot go on where another one stands.
var errOther = errors.New("the learner is another one")

// continueFrom has a policy go on where another one stands. Only tuners can.
func continueFrom(next, last control.Policy) error {
	to, from := tunerOf(next), tunerOf(last)
	if to == nil || from == nil {
		return errOther
	}
	return to.Continue(from)
}

func tunerOf(p control.Policy) *tuner.Tuner {
	if x, ok := p.(interface{ Tuner() *tuner.Tuner }); ok {
		return x.Tuner()
	}
	t, _ := p.(*tuner.Tuner)
	return t
}
