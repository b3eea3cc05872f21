//go:build !linux

package loadgen

import "time"

// sleep sleeps with the precision of the Go runtime: about a millisecond.
func sleep(d time.Duration) { time.Sleep(d) }
