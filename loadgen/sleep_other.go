//go:build !linux

package loadgen

import "time"

// sleeper sleeps with the precision of the Go runtime: about a millisecond.
type sleeper struct{}

func (s *sleeper) bind() {}

func (s *sleeper) sleep(d time.Duration) { time.Sleep(d) }
