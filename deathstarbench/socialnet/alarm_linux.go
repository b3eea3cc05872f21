package socialnet

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes one goroutine at an instant. Go's own timers are rounded to the millisecond of epoll_wait; a timerfd in
// the same poller rings to within some ten microseconds and costs one system call to set.
type alarm struct {
	file *os.File
	raw  syscall.RawConn
}

func newAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return alarm{}, os.NewSyscallError("timerfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return alarm{}, err
	}
	return alarm{file, raw}, nil
}

// set rings the alarm at the offset from base, at once if it is past; the earlier setting is dropped.
func (a alarm) set(base time.Time, at time.Duration) {
	left := max(at-time.Since(base), 1) // 0 would disarm it
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}
	_ = a.raw.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) }) // fails only when closed
}

// wait blocks until the alarm rings or is closed.
func (a alarm) wait() error {
	var count [8]byte
	_, err := a.file.Read(count[:])
	return err
}

func (a alarm) close() { _ = a.file.Close() }
