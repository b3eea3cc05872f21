//go:build linux

package loadgen

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorderEnv makes the test binary a recorder instead of a test.
const recorderEnv = "TRIMTAB_TEST_RECORDER"

func TestMain(m *testing.M) {
	if os.Getenv(recorderEnv) != "" {
		if err := record(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "recorder:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// recorder is a server in a process of its own that notes when each request arrives.
type recorder struct {
	url   string
	stdin io.Closer
	out   *bufio.Reader
	cmd   *exec.Cmd
}

func startRecorder(tb testing.TB) *recorder {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), recorderEnv+"=1", "GOGC=off")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	r := &recorder{stdin: stdin, out: bufio.NewReader(stdout), cmd: cmd}
	line, err := r.out.ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	r.url = "http://" + strings.TrimSpace(line) + "/"
	return r
}

// arrivals stops the recorder and returns the arrival times in order, on a monotonic clock.
func (r *recorder) arrivals(tb testing.TB) []time.Duration {
	tb.Helper()
	r.stdin.Close()
	data, err := io.ReadAll(r.out)
	if err = errors.Join(err, r.cmd.Wait()); err != nil {
		tb.Fatal(err)
	}
	times := make([]time.Duration, len(data)/8)
	for i := range times {
		times[i] = time.Duration(binary.LittleEndian.Uint64(data[8*i:]))
	}
	slices.Sort(times)
	return times
}

// record serves on a free port, which it prints, until in ends; then it prints when each request arrived, as 64-bit
// nanoseconds. It is one thread around epoll, so that nothing but the kernel stands between a packet and its time.
func record(in *os.File, out io.Writer) error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(listener, 4096)); err != nil {
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
	times := make([]uint64, 0, 1<<20)
	events, request := make([]unix.EpollEvent, 64), make([]byte, 16<<10)
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
				if n, _ := unix.Read(fd, request); n <= 0 {
					unix.Close(fd)
					continue
				}
				var now unix.Timespec
				_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
				times = append(times, uint64(now.Nano()))
				if _, err := unix.Write(fd, answer); err != nil {
					return err
				}
			}
		}
	}
}
