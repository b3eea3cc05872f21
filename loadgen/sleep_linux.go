package loadgen

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper sleeps with the precision of the kernel's high-resolution timers: Go rounds sleeps below a millisecond up to
// about one millisecond, nanosleep on a thread with the least timer slack is a few microseconds late.
type sleeper struct{ bound bool }

// bind ties the calling goroutine to its thread and gives the thread the least timer slack. The thread ends with the
// goroutine, so nobody inherits it.
func (s *sleeper) bind() {
	if s.bound {
		return
	}
	s.bound = true
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // on failure sleeps are up to 50 µs late
}

func (s *sleeper) sleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR { // goes on with the rest
	}
}
