//go:build !linux

package loadgen

import "errors"

// Realtime is supported on Linux only.
func Realtime() error { return errors.New("set real-time priority: supported on Linux only") }
