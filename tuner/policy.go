package tuner

import (
	"context"
	"time"

	"trimtab/vts"
)

// Source gives one sample per control interval. The real one polls NGINX, the other is the simulator.
type Source interface {
	Sample(ctx context.Context) (vts.Sample, error)
}

// Actuator makes weights effective. The real ones edit nginx.conf and reload, or set weights in the memory of NGINX; the
// other is the simulator.
type Actuator interface {
	// Apply sets the weights of the groups named in w and leaves all others alone. It returns when the change is
	// confirmed to be in force, or an error that says what was refused or rolled back.
	Apply(ctx context.Context, w Weights) (Receipt, error)
}

// Receipt says what became of one Apply.
type Receipt struct {
	Changed  bool          // false: the weights were already in force and nothing was written
	Reloaded bool          // a reload was needed
	At       time.Time     // when the change was confirmed
	Took     time.Duration // from the call to the confirmation
}

// Observation is what a policy sees at the end of a control interval.
type Observation struct {
	Sample  vts.Sample
	Current Weights // in force at the end of the interval
}

// Decision is what a policy wants.
type Decision struct {
	Weights Weights // complete settings of every group that should change; empty: hold
	Reason  string  // one line for people
}

// Policy decides weights from observations. It is called from one goroutine, once per control interval.
type Policy interface {
	Decide(Observation) Decision
}
