package loadgen

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Realtime gives all threads of the process the lowest real-time priority (SCHED_FIFO 1), so that other processes on
// the machine cannot make requests late. It needs CAP_SYS_NICE. Threads that start later inherit it. The kernel's
// real-time throttling still leaves the rest of the machine 5 % of the time.
func Realtime() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("set real-time priority: %w", err)
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		// a thread may have ended
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("set real-time priority: %w (it needs root or CAP_SYS_NICE)", err)
		}
	}
	return nil
}
