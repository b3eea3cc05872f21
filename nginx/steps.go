package nginx

import (
	"fmt"
	"os"
	"path/filepath"
)

// step is one operation of the pipeline on the machine. Every operation that can fail goes through Applier.do, in
// the order in which it happens; tests make each of them fail, or end the process before it.
type step struct{ op, path string }

func (s step) String() string {
	if s.path == "" {
		return s.op
	}
	return s.op + " " + s.path
}

// do performs one operation. The error says which operation on what failed.
func (a *Applier) do(op, path string, f func() error) error {
	s := step{op, path}
	var err error
	if a.intercept != nil {
		err = a.intercept(s, f)
	} else {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, unwrapPath(err))
	}
	return nil
}

func (a *Applier) readFile(path string) (data []byte, err error) {
	err = a.do("read", path, func() error { data, err = os.ReadFile(path); return err })
	return data, err
}

func (a *Applier) remove(path string) error {
	return a.do("remove", path, func() error {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	})
}

// syncDir makes a rename in dir durable.
func (a *Applier) syncDir(dir string) error {
	return a.do("fsync folder", dir, func() error {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	})
}

// create writes a new file with the content durably; prepare, if not nil, is called on it while it is empty.
func (a *Applier) create(path string, data []byte, prepare func(*os.File) error) (err error) {
	var f *os.File
	err = a.do("create", path, func() error {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			_ = a.remove(path)
		}
	}()
	if prepare != nil {
		if err := prepare(f); err != nil {
			return err
		}
	}
	if err := a.do("write", path, func() error { _, err := f.Write(data); return err }); err != nil {
		return err
	}
	if err := a.do("fsync", path, f.Sync); err != nil {
		return err
	}
	return a.do("close", path, f.Close)
}

// store writes a file of the state folder in one step: after a crash it is the old one or the new one.
func (a *Applier) store(name string, data []byte) error {
	path := filepath.Join(a.StateDir, name)
	temp := path + ".new"
	if err := a.remove(temp); err != nil {
		return err
	}
	if err := a.create(temp, data, nil); err != nil {
		return err
	}
	if err := a.do("rename", path, func() error { return os.Rename(temp, path) }); err != nil {
		_ = a.remove(temp)
		return err
	}
	return a.syncDir(filepath.Dir(path))
}
