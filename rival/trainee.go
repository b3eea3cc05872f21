package rival

import (
	"fmt"
	"io"

	"trimtab/control"
)

// Trainee is a learner in training: a policy that explores, and learns while it is played.
type Trainee interface {
	control.Policy
	// Begin begins an episode: what comes next does not follow from what was observed before.
	Begin()
	// Err is why training cannot go on, a *DivergedError; nil: it can.
	Err() error
	// Steps is the number of intervals that were learned from.
	Steps() int
	// Player plays what has been learned so far, without exploring or learning. It is nil when nothing was learned yet.
	Player() (control.Policy, error)
	// Model is what has been learned so far; Trained is left to the caller.
	Model() (*Model, error)
	// Save writes all that training needs to go on as if it had not been interrupted, and Restore reads it. Both are
	// called between episodes only.
	Save(w io.Writer) error
	Restore(r io.Reader) error
}

// DivergedError says that a network holds numbers that are none.
type DivergedError struct {
	Kind string
	What string // what is not finite
	Step int    // of training, from 1
	Seed uint64
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("train %s: %s is no finite number at step %d, seed %d: take a smaller learning rate", e.Kind,
		e.What, e.Step, e.Seed)
}

// CheckpointVersion is the version of the checkpoints that trainees write, and the only one they read.
const CheckpointVersion = 3

// checkpointHead is what every checkpoint begins with.
type checkpointHead struct {
	Version int
	Kind    string
	Seed    uint64
	Shape   Shape
}

// check reports why a checkpoint is not one of the learner.
func (h checkpointHead) check(want checkpointHead) error {
	switch {
	case h.Version != want.Version:
		return fmt.Errorf("checkpoint of version %d, this build reads %d", h.Version, want.Version)
	case h.Kind != want.Kind:
		return fmt.Errorf("checkpoint of %q, want %q", h.Kind, want.Kind)
	case h.Seed != want.Seed:
		return fmt.Errorf("checkpoint of seed %d, want %d", h.Seed, want.Seed)
	}
	if d := want.Shape.Difference(h.Shape); d != "" {
		return fmt.Errorf("checkpoint of another world: %s", d)
	}
	return nil
}
