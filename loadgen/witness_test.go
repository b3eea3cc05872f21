//go:build linux

package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// witnessEnv makes the test binary a witness instead of a test.
const witnessEnv = "TRIMTAB_TEST_WITNESS"

// A wake-up that is late by witnessed is a pause of the machine. A pause that falls between two wake-ups is not seen; a
// period of 150 µs sees more but disturbs: the gaps of fixed arrivals at 5,000/s were three times as wide with it.
const (
	witnessPeriod = 500 * time.Microsecond
	witnessed     = 150 * time.Microsecond
)

// pause is a time in which a processor did not run what had every right to run.
type pause struct{ from, to time.Duration }

// startWitness starts a process that tells when the machine itself stood still: on every processor a thread of a higher
// real-time priority than sender and recorder have asks to be woken every half millisecond. What makes it late is
// beneath all programs: the host of a virtual machine, or the kernel.
func startWitness(tb testing.TB) *helper {
	tb.Helper()
	return startHelper(tb, witnessEnv+"=1", fmt.Sprintf("GOMAXPROCS=%d", 2*runtime.NumCPU()+2))
}

// pauses stops the witness and returns what it saw, merged over the processors, in order.
func (h *helper) pauses(tb testing.TB) []pause {
	values := h.stop(tb)
	var all []pause
	for i := 0; i+1 < len(values); i += 2 {
		all = append(all, pause{time.Duration(values[i]), time.Duration(values[i+1])})
	}
	slices.SortFunc(all, func(a, b pause) int { return int(a.from - b.from) })
	var merged []pause
	for _, p := range all {
		if n := len(merged); n > 0 && p.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, p.to)
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// witness watches every processor until in ends; then it prints the pauses as pairs of instants.
func witness(in io.Reader, out io.Writer) error {
	var watching sync.WaitGroup
	stop := make(chan struct{})
	seen, errs := make([][]uint64, runtime.NumCPU()), make([]error, runtime.NumCPU())
	for cpu := range seen {
		watching.Go(func() { seen[cpu], errs[cpu] = watch(cpu, stop) })
	}
	fmt.Fprintln(out, "watching")
	_, _ = io.Copy(io.Discard, in)
	close(stop)
	watching.Wait()
	return errors.Join(errors.Join(errs...), binary.Write(out, binary.LittleEndian, slices.Concat(seen...)))
}

func watch(cpu int, stop <-chan struct{}) ([]uint64, error) {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	var set unix.CPUSet
	set.Set(cpu)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 2}
	if err := errors.Join(unix.SchedSetaffinity(0, &set), unix.SchedSetAttr(0, &attr, 0),
		unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)); err != nil {
		return nil, err
	}
	now := func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &t)
		return t.Nano()
	}
	var seen []uint64
	for due := now(); ; {
		select {
		case <-stop:
			return seen, nil
		default:
		}
		due += int64(witnessPeriod)
		at := unix.NsecToTimespec(due)
		// Raw, so that the runtime of the witness has no part in when it wakes.
		_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_REALTIME, unix.TIMER_ABSTIME,
			uintptr(unsafe.Pointer(&at)), 0, 0, 0)
		if woke := now(); woke-due > int64(witnessed) {
			seen = append(seen, uint64(due), uint64(woke))
			due = woke
		}
	}
}
