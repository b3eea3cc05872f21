package nginx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"trimtab/trusted"
)

// trust refuses to work where anybody on the machine could exchange what is read, run or written: the files of the
// configuration, the binary that tests it, the state folder. The refusal names the command that mends it.
func (a *Applier) trust(cfg *Config) error {
	if err := trusted.Folder(a.StateDir, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return untrusted("state folder", err)
	}
	for _, f := range cfg.Files {
		if err := trusted.Shared(f.Path); err != nil {
			return untrusted("configuration", err)
		}
	}
	if path, err := exec.LookPath(a.binary()); err == nil {
		if err := trusted.Shared(path); err != nil {
			return untrusted("binary", err)
		}
	}
	return nil
}

// untrusted makes a refusal of what is not trusted; other errors, such as a file that has gone since, are met again
// later.
func untrusted(what string, err error) error {
	if e := (*trusted.Error)(nil); errors.As(err, &e) {
		return refuse("%s: %v", what, err)
	}
	return nil
}

// trustJournal refuses a journal that would have other files written or removed than those of the configuration, and
// the temporary ones that Trimtab itself makes beside them. While the configuration cannot be read, its folder stands
// for it.
func (a *Applier) trustJournal(j *journal) error {
	cfg, unread := ReadConfig(a.Config)
	home := filepath.Dir(a.Config)
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	for _, f := range j.Files {
		if filepath.Dir(f.Temp) != filepath.Dir(f.Real) || !strings.HasPrefix(filepath.Base(f.Temp), tempPrefix) {
			return fmt.Errorf("%s is no temporary file of %s", f.Temp, f.Real)
		}
		known := unread == nil && cfg.file(f.Real) != nil
		if !known && unread != nil {
			rel, err := filepath.Rel(home, f.Real)
			known = err == nil && filepath.IsLocal(rel)
		}
		if !known {
			if _, err := os.Lstat(f.Real); errors.Is(err, fs.ErrNotExist) {
				continue // taken away since: nothing is done with it
			}
			return fmt.Errorf("%s is no file of the configuration %s", f.Real, a.Config)
		}
	}
	return nil
}
