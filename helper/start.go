package helper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// socketVariable tells the worker which of its descriptors is the socket.
const socketVariable = "TRIMTAB_HELPER_FD"

// Start starts the worker as another user, with the other end of the socket that it returns. The worker ends with this
// process, gets no further groups, and can gain no rights by running a program.
func Start(ctx context.Context, cmd *exec.Cmd, uid, gid uint32) (net.Conn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start the worker: socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "worker")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("start the worker: socket: %w", err)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, socketVariable+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{gid}}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	return conn, nil
}

// Inherited returns the socket that Start gave this process; ErrAlone when it was not started so.
func Inherited() (net.Conn, error) {
	text := os.Getenv(socketVariable)
	if text == "" {
		return nil, ErrAlone
	}
	_ = os.Unsetenv(socketVariable) // not for what this process starts
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: not a descriptor", socketVariable, text)
	}
	f := os.NewFile(uintptr(fd), "helper")
	if f == nil {
		return nil, fmt.Errorf("%s=%q: not a descriptor", socketVariable, text)
	}
	defer f.Close()
	unix.CloseOnExec(fd)
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("the helper's socket: %w", err)
	}
	if _, ok := conn.(*net.UnixConn); !ok {
		conn.Close()
		return nil, errors.New("the helper's socket is no Unix socket")
	}
	return conn, nil
}

// ErrAlone is returned where no helper started this process.
var ErrAlone = errors.New("this process has no helper")

// Confine has this process give up what it does not need, for good: gaining rights by running programs, and, where the
// kernel has Landlock, all files but those below the folders given. What a kernel lacks is passed over.
func Confine(readWrite, readOnly []string) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine: no new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("confine: no core of what was learned and of secrets: %w", err)
	}
	err := landlock.V5.BestEffort().RestrictPaths(
		landlock.RWDirs(readWrite...).IgnoreIfMissing(), landlock.RODirs(readOnly...).IgnoreIfMissing())
	if err != nil {
		return fmt.Errorf("confine: landlock: %w", err)
	}
	return nil
}

// wait is how long Stop waits for the worker to end before it is killed.
const wait = 5 * time.Second

// Stop ends the worker: by the end of the socket and SIGTERM, after 5 s by force.
func Stop(conn net.Conn, cmd *exec.Cmd) error {
	_ = conn.Close()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}
