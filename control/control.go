package control

import (
	"context"
	"time"

	"trimtab/vts"
	"trimtab/weights"
)

// Source gives one sample per control interval. The real one polls NGINX, others are the simulator and a recording.
type Source interface {
	Sample(ctx context.Context) (vts.Sample, error)
}

// Actuator makes weights effective. The real ones edit nginx.conf and reload, or set weights in NGINX while it runs;
// the other is the simulator.
type Actuator interface {
	// Apply sets the weights of the groups named in want and leaves all others alone. It returns when the change is
	// confirmed to be in force, or an error that says what was refused or rolled back.
	Apply(ctx context.Context, want weights.Set) (Receipt, error)
	// InForce says what is in force now, of every group that the actuator can set.
	InForce(ctx context.Context) (weights.Set, error)
}

// Receipt says what became of one Apply.
type Receipt struct {
	Want     weights.Set   // what was asked for
	Levels   Levels        // of the controls beside weights that were set
	Changed  bool          // false: the weights were already in force and nothing was written
	Reloaded bool          // a reload was needed
	At       time.Time     // when the change was confirmed
	Took     time.Duration // from the call to the confirmation
}

// Decision is what a policy wants.
type Decision struct {
	Weights weights.Set // complete settings of every group that should change; empty: hold
	Levels  Levels      // of the controls beside weights that should change; empty: hold
	Reason  string      // one line for people
	Unused  []Unused    // controls that could have been used and were not
}

// Empty reports whether nothing is to be changed.
func (d Decision) Empty() bool { return len(d.Weights) == 0 && d.Levels.Empty() }

// Policy decides weights from what is observed. It is used by one goroutine.
type Policy interface {
	// Observe learns from one interval: what happened, and the settings that the status page shows at its end. It is
	// called for every sample, whether changes are held or not.
	Observe(sample vts.Sample, inForce weights.Set)
	// Choose says what the policy wants after the last Observe. It changes nothing: asked twice it answers the same,
	// and a decision that is not carried out has no effect on later ones.
	Choose() Decision
	// Committed tells that the last decision was applied and confirmed.
	Committed(Receipt)
}

// Fixed is the part of a policy whose decision is worked out when an interval is observed: Choose returns it.
type Fixed struct{ Decision Decision }

// Choose implements Policy.
func (f *Fixed) Choose() Decision { return f.Decision }

// Committed implements Policy.
func (*Fixed) Committed(Receipt) {}
