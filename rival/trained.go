package rival

import (
	"fmt"

	"trimtab/control"
)

// Trainable returns the names of the policies that are trained before they are played.
func Trainable() []string { return []string{KindDQN, KindTable, KindTD3, KindStudent} }

// NewTrained returns the policy that a model describes.
func NewTrained(m *Model) (control.Policy, error) {
	switch m.Kind {
	case KindDQN:
		return NewDQN(m)
	case KindTable:
		return NewTable(m)
	case KindTD3:
		return NewTD3(m)
	case KindStudent:
		return NewStudent(m)
	}
	return nil, fmt.Errorf("%w: kind %q", ErrOtherModel, m.Kind)
}
