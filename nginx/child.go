package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// childLimit is how long a child may take that only prints something, such as nginx -V.
const childLimit = 10 * time.Second

// child prepares a program that ends with ctx, and whatever it has started with it: the program gets a group of its
// own, and output that somebody keeps open does not hold up the wait.
func child(ctx context.Context, binary string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// Output runs a program of NGINX's for at most limit (0: 10 s) and returns what it prints, standard output and errors
// apart.
func Output(ctx context.Context, limit time.Duration, binary string, args ...string) (out, errs []byte, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, orDefault(limit, childLimit), fmt.Errorf("it did not end within %s",
		orDefault(limit, childLimit)))
	defer cancel()
	cmd := child(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = cmd.Cancel() // it has ended, what it started has not: its group still exists
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("run %s: %w", binary, context.Cause(ctx))
	}
	return stdout.Bytes(), stderr.Bytes(), err
}
