package loadgen

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep sleeps with the precision of the kernel's high-resolution timers: Go rounds sleeps below a millisecond up to
// about one millisecond, nanosleep on a thread with the least timer slack is a few microseconds late. It keeps a
// processor of the runtime meanwhile: see addProcessors. The slack is set each time because the goroutine may have
// changed threads: tying it to one thread would make every hand-over to a worker a switch of threads, which costs a
// quarter of the peak rate.
func sleep(d time.Duration) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // on failure the sleep is up to 50 µs late
	ts := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&ts, &ts) == unix.EINTR { // goes on with the rest
	}
}
