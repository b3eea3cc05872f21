package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"trimtab/deathstarbench"
)

// DefaultBuckets are the bounds of the histogram of response times in ms that the samples carry unless
// Options.BucketsMsec says otherwise: those of the Lua status shim.
func DefaultBuckets() []float64 {
	return []float64{1, 2, 5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 2000, 5000, 10000}
}

// Options are what a run may vary beside the scenario. The zero value is a run with seed 0 on the scenario's methods,
// whose weights change by a reload that takes effect at once.
type Options struct {
	Seed uint64
	// Method overrides the balancing method of every group; empty: the scenario's.
	Method Method
	// Interval is the control interval; 0: the scenario's.
	Interval time.Duration
	// BucketsMsec are the upper bounds of the histogram in ms, ascending; nil: DefaultBuckets; empty: no histogram.
	BucketsMsec []float64
	// Deadlines are the deadlines that the client's tardiness is counted from, by group; a group that is missing has
	// the scenario's deadline, and without one counts failed requests only.
	Deadlines map[string]time.Duration
	// ErrorTardiness is the tardiness of a failed request; 0 means 10.
	ErrorTardiness float64
	// Live makes weights change as the live actuator does it: active counts and passive health checks survive. By
	// default they change by a reload, which restarts both and leaves old requests to the old workers.
	Live bool
	// ApplyDelay is how long after SetWeights the new weights are in force; on NGINX 1.22 a reload took 57 to 214 ms.
	ApplyDelay time.Duration
	// TelemetryDelay is how old a sample is when Step returns it: it must be shorter than the interval.
	TelemetryDelay time.Duration
	// LostPolls is the probability that a poll fails: Step then returns ErrPollLost, and the next sample covers both
	// intervals.
	LostPolls float64
	// Overhead is added to every response: what NGINX and the network stack need on the testbed.
	Overhead time.Duration
	// Timeout is how long a client waits for its answer before it gives up, which counts as an error of that
	// latency; 0 means the scenario's, negative: for ever.
	Timeout time.Duration
	// MaxFails and FailTimeout are the passive health check of every server: 0 means NGINX's defaults, 1 and 10 s;
	// a negative MaxFails turns the check off (max_fails=0).
	MaxFails    int
	FailTimeout time.Duration
	// ClocksBehind is the share of picks and answers that NGINX handles on a clock that is at least 1 ms behind the one
	// before it, which only least_time with inflight minds. 0 is one worker. Two workers on one zone had 0.001 on a
	// calm machine of two cores, 0.003 on a busy one.
	ClocksBehind float64
	// PassedOnUncounted makes the samples leave out attempts that proxy_next_upstream passed on, as nginx-module-vts
	// up to v0.2.7 does; by default every attempt counts for its own server, as the Lua shim counts.
	PassedOnUncounted bool
	// ExponentialService makes service times exponential whatever service_cv says, for checks against M/M/c.
	ExponentialService bool
	// Held are the requests that servers hold when the run begins; nil: none, every queue is empty.
	Held []Held
	// Epoch is the wall-clock time of the start; zero: 2026-01-01 UTC.
	Epoch time.Time
}

// ErrPollLost is returned by Step when the poll at the end of the interval failed.
var ErrPollLost = errors.New("poll lost")

func (o *Options) complete(sc *deathstarbench.Scenario) error {
	if o.Interval == 0 {
		o.Interval = sc.ControlInterval.Std()
	}
	if o.Interval <= 0 {
		return fmt.Errorf("control interval %v: want more than 0", o.Interval)
	}
	if o.BucketsMsec == nil {
		o.BucketsMsec = DefaultBuckets()
	}
	if len(o.BucketsMsec) > 64 || !slices.IsSorted(o.BucketsMsec) {
		return errors.New("histogram buckets: want at most 64 bounds, ascending")
	}
	if o.ErrorTardiness == 0 {
		o.ErrorTardiness = 10
	}
	if o.Timeout == 0 {
		o.Timeout = sc.Timeout.Std()
	}
	if o.Timeout == 0 {
		o.Timeout = deathstarbench.DefaultTimeout
	}
	if o.MaxFails == 0 {
		o.MaxFails = 1
	}
	if o.FailTimeout == 0 {
		o.FailTimeout = 10 * time.Second
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	switch {
	case o.TelemetryDelay < 0 || o.TelemetryDelay >= o.Interval:
		return fmt.Errorf("telemetry delay %v: want 0 to less than the control interval %v", o.TelemetryDelay,
			o.Interval)
	case o.ApplyDelay < 0:
		return fmt.Errorf("apply delay %v: want at least 0", o.ApplyDelay)
	case !(o.LostPolls >= 0 && o.LostPolls < 1):
		return fmt.Errorf("lost polls %v: want a probability below 1", o.LostPolls)
	case !(o.ClocksBehind >= 0 && o.ClocksBehind <= 1):
		return fmt.Errorf("clocks behind %v: want a share", o.ClocksBehind)
	case o.Overhead < 0:
		return fmt.Errorf("overhead %v: want at least 0", o.Overhead)
	}
	return nil
}
