package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"trimtab/trusted"
)

// lockAll makes this the only daemon of the state folder and of NGINX's configuration until release is called. An error
// is a *ConfigError.
func lockAll(cfg *Config, log *slog.Logger) (release func(), err error) {
	state, err := lock(cfg.StateDir)
	if err != nil {
		return nil, &ConfigError{err}
	}
	switch config, err := lockConfiguration(cfg.Nginx.Config); {
	case errors.Is(err, errOtherDaemon):
		state()
		return nil, &ConfigError{err}
	case err != nil: // no folder for locks: a change still takes the lock of its own
		log.Warn("whether another daemon tunes this configuration cannot be known", "error", err)
		return state, nil
	default:
		return func() { config(); state() }, nil
	}
}

// lock makes this the only daemon of the state folder until release is called.
func lock(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	if err := trusted.Folder(dir, false); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	path := filepath.Join(dir, "daemon.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path) // a lock needs no writing; without the file there is no lock to have
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := make([]byte, 32)
		n, _ := f.ReadAt(pid, 0)
		f.Close()
		return nil, fmt.Errorf("another trimtab tune (process %s) holds %s: stop it, or give this one a state_dir "+
			"of its own", string(pid[:max(n, 0)]), path)
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintf(f, "%d", os.Getpid())
	return func() { f.Close() }, nil
}

// Hold makes every daemon of the configuration change nothing from now on, running or not, until Release. It returns
// the file that says so.
func (c *Config) Hold() (path string, err error) {
	path = c.HoldPath()
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = trusted.WriteFile(path, []byte("trimtab tune holds while this file exists\n"), 0o600)
	}
	if err != nil {
		return path, fmt.Errorf("hold: %w", err)
	}
	return path, nil
}

// Release undoes Hold.
func (c *Config) Release() (path string, err error) {
	path = c.HoldPath()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return path, fmt.Errorf("release: %w", err)
	}
	return path, nil
}
