package daemon

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"trimtab/trusted"
)

// errOtherDaemon is returned when another daemon tunes the same configuration.
var errOtherDaemon = errors.New("another trimtab tune")

// lockConfiguration makes this the only daemon of an nginx.conf until release is called, whatever its state folder. The
// lock is a file in a folder that only root, or only this user, may write to, named after the file that the path leads
// to.
func lockConfiguration(config string) (release func(), err error) {
	real, err := filepath.EvalSymlinks(config)
	if err != nil {
		real = config // it may not be there yet
	}
	dir := locksFolder()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of locks: %w", err)
	}
	if err := trusted.Folder(dir, false); err != nil {
		return nil, fmt.Errorf("folder of locks: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(real)))[:20]+".lock")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := make([]byte, 32)
		n, _ := f.ReadAt(pid, 0)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (process %s) tunes %s, from a state folder of its own: stop it first",
				errOtherDaemon, pid[:max(n, 0)], config)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d", os.Getpid())
	}
	return func() { f.Close() }, nil
}

// locksFolder is /run/trimtab for root, and the user's own runtime folder for others.
func locksFolder() string {
	if os.Geteuid() == 0 {
		return "/run/trimtab"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "trimtab")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("trimtab-%d", os.Geteuid()))
}
