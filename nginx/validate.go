package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNoNamespace is returned where a private mount namespace cannot be had, for want of CAP_SYS_ADMIN.
var errNoNamespace = errors.New("no private mount namespace")

// overlay shows a candidate in place of a live file.
type overlay struct{ candidate, live string }

// validator runs nginx -t.
type validator struct {
	binary string
	args   []string // before -t: -p, -c, -g
	// complete: the arguments are all there are
	complete bool
	timeout  time.Duration
}

// test runs nginx -t against what is on the disk, with each overlay's candidate in place of its live file in a mount
// namespace that no other process sees.
func (v validator) test(ctx context.Context, overlays []overlay) error {
	ctx, cancel := context.WithTimeoutCause(ctx, v.timeout, fmt.Errorf("nginx -t did not end within %s", v.timeout))
	defer cancel()
	done := make(chan error, 1)
	v.spawn(ctx, overlays, done)
	return <-done
}

// spawn runs the test on a thread of its own, which takes the namespace with it when it ends.
func (v validator) spawn(ctx context.Context, overlays []overlay, done chan<- error) {
	go func() {
		// Never unlocked: the runtime then ends the thread instead of reusing it.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The process's first thread cannot be ended, so it must not be the one that leaves the namespace.
			v.spawn(ctx, overlays, done)
			runtime.UnlockOSThread()
			return
		}
		// Logs and temporary files that the test creates must get the mode that they would get from an operator's own
		// command, whatever this process's umask is. Where the thread cannot have one of its own, it stays as it is.
		if unix.Unshare(unix.CLONE_FS) == nil {
			unix.Umask(operatorsUmask)
		}
		if len(overlays) > 0 {
			if err := privateMounts(overlays); err != nil {
				done <- err
				return
			}
		}
		done <- v.run(ctx)
	}()
}

// operatorsUmask is what a root shell has.
const operatorsUmask = 0o022

func privateMounts(overlays []overlay) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("%w: unshare: %w", errNoNamespace, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("%w: make mounts private: %w", errNoNamespace, err)
	}
	for _, o := range overlays {
		if err := unix.Mount(o.candidate, o.live, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%w: bind %s: %w", errNoNamespace, o.live, err)
		}
	}
	return nil
}

func (v validator) run(ctx context.Context) error {
	args := append([]string{}, v.args...)
	if !v.complete {
		args = append(args, "-t", "-q")
	}
	cmd := child(ctx, v.binary, args...)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // covers our own death
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		if text := firstEmerg(out.String()); text != "" {
			if strings.Contains(text, readOnly) {
				text += ": this process may not write there; under systemd, systemctl edit trimtab and add " +
					"ReadWritePaths="
			}
			return &testFailure{text}
		}
		return fmt.Errorf("run %s %s: %w", v.binary, strings.Join(args, " "), err)
	}
	return nil
}

// readOnly is EROFS as NGINX prints it: most often not the configuration's fault, but that of the sandbox we run in.
var readOnly = fmt.Sprintf(" (%d: ", syscall.EROFS)

// testFailure is what nginx -t said against a configuration.
type testFailure struct{ text string }

func (e *testFailure) Error() string { return e.text }

// firstEmerg returns the line of nginx -t's output that says what is wrong.
func firstEmerg(out string) string {
	first := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if text, ok := emergText(line); ok {
			return text
		}
		if first == "" {
			first = line
		}
	}
	return first
}

// emergText cuts the time, the level and the process ids off a line of level emerg.
func emergText(line string) (string, bool) {
	_, text, ok := strings.Cut(line, "[emerg] ")
	if !ok {
		return "", false
	}
	if ids, rest, ok := strings.Cut(text, ": "); ok && strings.Trim(ids, "0123456789#*") == "" {
		text = rest
	}
	return strings.TrimSpace(text), true
}
