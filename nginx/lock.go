package nginx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lock lets one change through at a time: among all that use the state folder, and among all that change a
// configuration in the same folder. It waits for up to LockWait. The kernel lets go when the process ends, however it
// ends.
func (a *Applier) lock(ctx context.Context) (func(), error) {
	if Contained(a.Config) {
		return nil, &Refusal{Reason: ErrContained.Error()}
	}
	if err := a.do("create folder", a.StateDir, func() error { return os.MkdirAll(a.StateDir, 0o700) }); err != nil {
		return nil, err
	}
	path := filepath.Join(a.StateDir, "lock")
	var f *os.File
	err := a.do("open lock", path, func() (err error) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		return err
	})
	if err != nil {
		return nil, err
	}
	// A second state folder for the same configuration must not help: the folder of the configuration is locked too.
	dir, err := os.Open(filepath.Dir(a.Config))
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open folder of the configuration: %w", err)
	}
	release := func() { dir.Close(); f.Close() }
	deadline := time.Now().Add(a.lockWait())
	for _, file := range []*os.File{f, dir} {
		err := a.flock(ctx, file, deadline)
		if file == dir && errors.Is(err, unix.EWOULDBLOCK) && strangersHold(dir) {
			a.log().Warn("another user of this machine holds a lock on the folder of the configuration: it is "+
				"passed over", "folder", dir.Name())
			err = nil
		}
		if err != nil {
			holder := readHolder(f)
			release()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, &Refusal{Reason: fmt.Sprintf("another trimtab%s is changing %s", holder, a.Config),
					RetryAfter: time.Second}
			}
			return nil, err
		}
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	}
	return release, nil
}

func (a *Applier) flock(ctx context.Context, f *os.File, deadline time.Time) error {
	for {
		err := a.do("lock", f.Name(), func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func readHolder(f *os.File) string {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}
