package helper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// variable tells the worker which of its descriptors are the two sockets and the folder of its state.
const variable = "TRIMTAB_HELPER_FDS"

// As says as whom the worker runs.
type As struct {
	UID, GID uint32
	// State is the folder of the worker's state, which it is given open, so that it need not find its way there.
	State *os.File
	// BindLow leaves the worker able to listen on ports below 1024.
	BindLow bool
}

// Start starts the worker as another user, with the other ends of the sockets that it returns. The worker gets no
// further groups and a process group of its own: what a terminal sends goes to this process, which passes it on.
func Start(cmd *exec.Cmd, as As) (changes, questions net.Conn, err error) {
	var ours [2]net.Conn
	defer func() {
		if err != nil {
			for _, c := range ours {
				if c != nil {
					c.Close()
				}
			}
		}
	}()
	var given []string
	for i := range ours {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("start the worker: socket: %w", err)
		}
		mine, theirs := os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "worker")
		defer theirs.Close()
		ours[i], err = net.FileConn(mine)
		mine.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("start the worker: socket: %w", err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
		given = append(given, strconv.Itoa(2+len(cmd.ExtraFiles)))
	}
	if as.State != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, as.State)
		given = append(given, strconv.Itoa(2+len(cmd.ExtraFiles)))
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, variable+"="+strings.Join(given, ","))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Credential: &syscall.Credential{Uid: as.UID, Gid: as.GID, Groups: []uint32{as.GID}},
	}
	if as.BindLow {
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_BIND_SERVICE}
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the worker as user %d: %w", as.UID, err)
	}
	return ours[0], ours[1], nil
}

// Inheritance is what Start gave this process.
type Inheritance struct {
	Changes, Questions net.Conn
	// State is the folder of the state, by a name that needs no way to it; empty: none was given.
	State string
}

// Inherited returns what Start gave this process; ErrAlone when it was not started so.
func Inherited() (Inheritance, error) {
	var in Inheritance
	text := os.Getenv(variable)
	if text == "" {
		return in, ErrAlone
	}
	_ = os.Unsetenv(variable) // not for what this process starts
	words := strings.Split(text, ",")
	if len(words) != 2 && len(words) != 3 {
		return in, fmt.Errorf("%s=%q: want two sockets, and a folder or none", variable, text)
	}
	var fds []int
	for _, word := range words {
		fd, err := strconv.Atoi(word)
		if err != nil || fd < 3 {
			return in, fmt.Errorf("%s=%q: not descriptors", variable, text)
		}
		unix.CloseOnExec(fd)
		fds = append(fds, fd)
	}
	for i, to := range []*net.Conn{&in.Changes, &in.Questions} {
		f := os.NewFile(uintptr(fds[i]), "helper")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return in, fmt.Errorf("the helper's socket: %w", err)
		}
		if _, ok := conn.(*net.UnixConn); !ok {
			conn.Close()
			return in, errors.New("the helper's socket is no Unix socket")
		}
		*to = conn
	}
	if len(fds) == 3 {
		in.State = fmt.Sprintf("/proc/self/fd/%d", fds[2])
	}
	return in, nil
}

// ErrAlone is returned where no helper started this process.
var ErrAlone = errors.New("this process has no helper")

// Wait waits until the worker has ended. When ctx ends it is told to, and killed when it has not within the patience.
func Wait(ctx context.Context, cmd *exec.Cmd, patience time.Duration) error {
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			_ = cmd.Process.Kill()
		}
	})
	err := cmd.Wait()
	close(ended)
	all.Wait()
	return err
}
