package arena

import (
	"context"
	"errors"
	"time"

	"trimtab/control"
	"trimtab/deathstarbench"
	"trimtab/vts"
	"trimtab/weights"
)

// World plays scenarios: the simulator or the testbed. It is used by one goroutine at a time, and for one run after
// the other.
type World interface {
	// Reset begins a run from a clean state: nothing of an earlier run is left in balancers, queues or statistics.
	Reset(ctx context.Context, run Run) error
	// Step plays one control interval and returns what was seen of it.
	Step(ctx context.Context) (Interval, error)
	// SetWeights makes the weights effective, as control.Actuator does.
	SetWeights(ctx context.Context, w weights.Set) (control.Receipt, error)
	// Weights returns what is in force.
	Weights() weights.Set
	// Results ends the run: it waits for the answers that are still missing and returns the clients' totals.
	Results(ctx context.Context) (Results, error)
	// Close frees what the world holds. No other call may follow.
	Close() error
}

// Run is what a World is asked to play.
type Run struct {
	Scenario *deathstarbench.Scenario
	Method   string // balancing method of every group; empty: the scenario's
	Seed     uint64
	// Initial are weights in force when the run begins, for groups that should not begin with the scenario's.
	Initial weights.Set
	// Deadlines are the deadlines of all groups, by name; tardiness is counted from them.
	Deadlines map[string]time.Duration
}

// ErrNoSample says that the poll of an interval failed; the interval itself was played.
var ErrNoSample = errors.New("no sample: the poll failed")

// Interval is what happened in one control interval.
type Interval struct {
	At     time.Duration // end of the interval, from the start of the run
	Sample vts.Sample    // what the poller said; see Err
	Err    error         // why there is no sample, or nil
	Client Client        // what clients saw of it, by time of the answer
	Done   bool          // it was the last one
	// Late is how late timers of this machine were on average, and LateMost at most, where that is part of what was
	// seen; 0 in the simulator.
	Late, LateMost time.Duration
}

// Disturbed reports whether the machine kept the world waiting so much that the interval says nothing of a policy.
func (iv Interval) Disturbed() bool { return iv.Late > lateMean || iv.LateMost > lateMost }

// A bound of 35 ms with 5 ms of room says nothing when timers are late by so much.
const (
	lateMean = 1500 * time.Microsecond
	lateMost = 150 * time.Millisecond
)

// Client sums up what clients saw, true latencies from the moment that requests were due.
type Client struct {
	Requests  uint64
	Errors    uint64  // 5xx, or no answer at all
	Tardiness float64 // accumulated relative tardiness, see package tuner
	Mean      time.Duration
	P99       time.Duration
}

// ART is the accumulated relative tardiness per request; 0 without requests.
func (c Client) ART() float64 {
	if c.Requests == 0 {
		return 0
	}
	return c.Tardiness / float64(c.Requests)
}

// Distribution is a distribution of latencies.
type Distribution interface {
	Mean() time.Duration
	Quantile(q float64) time.Duration
	Max() time.Duration
}

// Results are the clients' totals of a run: of the requests that were due after the warm-up.
type Results struct {
	Requests  uint64
	Errors    uint64
	Tardiness float64
	Latency   Distribution // of all answers, failures too
	Groups    []GroupResult
}

// GroupResult are the totals of one upstream group.
type GroupResult struct {
	Upstream  string
	Workload  string
	Requests  uint64
	Errors    uint64
	Tardiness float64
	Latency   Distribution
	// Servers counts attempts by server after the warm-up, in the order of the group.
	Servers []ServerCount
}

// ServerCount is how many attempts a server got.
type ServerCount struct {
	Server   string
	Requests uint64
}
