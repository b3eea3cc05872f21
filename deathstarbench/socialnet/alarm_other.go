//go:build !linux

package socialnet

import (
	"os"
	"time"
)

// alarm wakes one goroutine at an instant, with the precision of Go's timers.
type alarm struct {
	timer  *time.Timer
	closed chan struct{}
}

func newAlarm() (alarm, error) {
	a := alarm{timer: time.NewTimer(time.Hour), closed: make(chan struct{})}
	a.timer.Stop()
	return a, nil
}

// set rings the alarm at the offset from base, at once if it is past; the earlier setting is dropped.
func (a alarm) set(base time.Time, at time.Duration) { a.timer.Reset(at - time.Since(base)) }

// wait blocks until the alarm rings or is closed.
func (a alarm) wait() error {
	select {
	case <-a.timer.C:
		return nil
	case <-a.closed:
		return os.ErrClosed
	}
}

func (a alarm) close() {
	a.timer.Stop()
	close(a.closed)
}
