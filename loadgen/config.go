package loadgen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Config describes an attack. Zero values mean the stated defaults.
type Config struct {
	Workloads []Workload // at least one

	Workers    int // workers that each burst starts with; default 64
	MaxWorkers int // most workers, so most requests in flight, per burst; default 10000
	// 99th percentile of the lateness above which the run counts as saturated; default 10 ms
	LatenessBound time.Duration
	Drain         time.Duration // how long an interrupted attack waits for answers; default 5 s

	Client ClientConfig

	// OnResult, if set, is called with every result from the collecting goroutine of its burst: it must be quick, and
	// safe for concurrent use when there are several bursts.
	OnResult func(Result)
	// OnSecond, if set, is called once a second from one goroutine with what completed in the second that has passed.
	OnSecond func(Second)
}

// ClientConfig describes how requests are sent.
type ClientConfig struct {
	Timeout     time.Duration // from the start of a request to its complete answer; default 30 s, negative: none
	Connections int           // most connections per workload; default 0: as many as requests are in flight
	NoKeepAlive bool          // a new connection for each request
	Redirects   int           // how many redirects to follow; default 0: a redirect is an answer like any other
	// longest body of an answer in bytes, a longer one is a failure; default 64 MiB, negative: no limit
	MaxBody int64
	Header  http.Header // added to every request; Host sets the host
	TLS     *tls.Config // default: the system's roots
}

const (
	defaultWorkers       = 64
	defaultMaxWorkers    = 10_000
	defaultLatenessBound = 10 * time.Millisecond
	defaultDrain         = 5 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultMaxBody       = 64 << 20
)

// withDefaults returns a copy with the defaults filled in.
func (c Config) withDefaults() Config {
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fillDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.MaxWorkers, defaultMaxWorkers)
	fill(&c.Workers, min(defaultWorkers, max(1, c.MaxWorkers)))
	fillDuration(&c.LatenessBound, defaultLatenessBound)
	fillDuration(&c.Drain, defaultDrain)
	fillDuration(&c.Client.Timeout, defaultTimeout)
	if c.Client.MaxBody == 0 {
		c.Client.MaxBody = defaultMaxBody
	}
	return c
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(len(c.Workloads) == 0, "no workload")
	for i := range c.Workloads {
		errs = append(errs, c.Workloads[i].validate())
	}
	fault(c.Workers < 0, "workers %d: want at least 0", c.Workers)
	fault(c.MaxWorkers < 0, "max workers %d: want at least 0", c.MaxWorkers)
	fault(c.MaxWorkers > 0 && c.Workers > c.MaxWorkers, "workers %d: want at most max workers %d", c.Workers,
		c.MaxWorkers)
	fault(c.LatenessBound < 0, "lateness bound %s: want at least 0", c.LatenessBound)
	fault(c.Drain < 0, "drain %s: want at least 0", c.Drain)
	fault(c.Client.Connections < 0, "connections %d: want at least 0", c.Client.Connections)
	fault(c.Client.Redirects < 0, "redirects %d: want at least 0", c.Client.Redirects)
	return errors.Join(errs...)
}
