//go:build linux

package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recorderEnv makes the test binary a recorder instead of a test.
const recorderEnv = "TRIMTAB_TEST_RECORDER"

func TestMain(m *testing.M) {
	if ran, err := runHelper(); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	} else if ran {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// recorder is a server in a process of its own that notes when each request arrives.
type recorder struct {
	*helper
	url string
}

func startRecorder(tb testing.TB) *recorder {
	tb.Helper()
	h := startHelper(tb, recorderEnv+"=1", "GOGC=off")
	return &recorder{h, "http://" + h.line + "/"}
}

// arrivals stops the recorder and returns the arrival times in order, since 1970.
func (r *recorder) arrivals(tb testing.TB) []time.Duration {
	tb.Helper()
	values := r.stop(tb)
	times := make([]time.Duration, len(values))
	for i, v := range values {
		times[i] = time.Duration(v)
	}
	slices.Sort(times)
	return times
}

// unstampedMost is how many requests may come before the kernel has begun to stamp what it receives, which it does a
// few milliseconds after a socket asks for it; the time of reading stands in for them.
const unstampedMost = 500

// record serves on a free port, which it prints, until in ends; then it prints when each request arrived, in
// nanoseconds since 1970: when the kernel took in its segment, whatever became of this process meanwhile.
func record(in *os.File, out io.Writer) error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		unix.Listen(listener, 4096)); err != nil {
		return err
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "127.0.0.1:%d\n", name.(*unix.SockaddrInet4).Port)
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	watch := func(fd int) error {
		return unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err := errors.Join(watch(listener), watch(int(in.Fd()))); err != nil {
		return err
	}
	times, unstamped := make([]uint64, 0, 1<<20), 0
	events, request := make([]unix.EpollEvent, 64), make([]byte, 16<<10)
	control := make([]byte, unix.CmsgSpace(timespecSize))
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	for {
		n, err := unix.EpollWait(poll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			switch fd := int(e.Fd); fd {
			case int(in.Fd()):
				return binary.Write(out, binary.LittleEndian, times)
			case listener:
				c, _, err := unix.Accept(listener)
				if err = errors.Join(err, watch(c)); err != nil {
					return err
				}
			default:
				n, controls, _, _, err := unix.Recvmsg(fd, request, control, 0)
				if n <= 0 || err != nil {
					unix.Close(fd)
					continue
				}
				at, ok := received(control[:controls])
				if !ok {
					if unstamped++; unstamped > unstampedMost {
						return errors.New("the kernel does not stamp what it receives")
					}
					at = uint64(time.Now().UnixNano())
				}
				times = append(times, at)
				if _, err := unix.Write(fd, answer); err != nil {
					return err
				}
			}
		}
	}
}

const timespecSize = int(unsafe.Sizeof(unix.Timespec{}))

// received returns when the kernel took in the segment that a read has just returned, in nanoseconds since 1970.
func received(control []byte) (at uint64, ok bool) {
	if len(control) < unix.CmsgSpace(timespecSize) {
		return 0, false
	}
	header, data, _, err := unix.ParseOneSocketControlMessage(control)
	if err != nil || header.Level != unix.SOL_SOCKET || header.Type != unix.SO_TIMESTAMPNS || len(data) < timespecSize {
		return 0, false
	}
	var stamp unix.Timespec
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&stamp)), timespecSize), data)
	return uint64(stamp.Nano()), true
}
