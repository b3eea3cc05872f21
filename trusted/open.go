package trusted

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Open opens a plain file for reading that nobody but root and this user can have written.
func Open(path string) (*os.File, error) { return open(path, false, false) }

// Private is Open for a file that others may not read either: a password, a token.
func Private(path string) (*os.File, error) { return open(path, true, false) }

func open(path string, private, anybody bool) (*os.File, error) {
	w, name, err := descend(path, true, anybody)
	if err != nil {
		return nil, err
	}
	defer w.close()
	// O_NONBLOCK: a pipe in its place must not make this wait.
	fd, err := unix.Openat(w.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: w.join(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if err := w.file(w.join(name), fd, private); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// file judges an open file.
func (w *walk) file(path string, fd int, private bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return &Error{Path: path, Why: "is not a plain file"}
	}
	if err := w.owned(path, &st); err != nil {
		return err
	}
	if st.Mode&0o002 != 0 {
		return &Error{path, fmt.Sprintf("may be written by everyone (mode %04o)", st.Mode&0o7777),
			"chmod o-w " + quote(path)}
	}
	if private && st.Mode&0o007 != 0 {
		return &Error{path, fmt.Sprintf("is a secret that everyone may read (mode %04o)", st.Mode&0o7777),
			"chmod o= " + quote(path)}
	}
	return nil
}

// maxSecret bounds a file that holds a secret.
const maxSecret = 64 << 10

// Secret returns the content of a private file.
func Secret(path string) ([]byte, error) {
	f, err := Private(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("read %s: more than %d bytes", path, maxSecret)
	}
	return text, err
}

// Folder checks a folder and the way to it; with private nobody else may read it either.
func Folder(path string, private bool) error {
	w, name, err := descend(path, true, false)
	if err != nil {
		return err
	}
	defer w.close()
	if name != "." {
		if err := w.enter(name); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(w.dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: w.path, Err: err}
	}
	switch mode := st.Mode & 0o7777; {
	case st.Mode&0o022 != 0 && private, st.Mode&0o002 != 0 && !readOnly(w.dir):
		return &Error{w.path, fmt.Sprintf("is a folder that others may write to (mode %04o)", mode),
			"chmod go-w " + quote(w.path)}
	case private && st.Mode&0o007 != 0:
		return &Error{w.path, fmt.Sprintf("is a folder that everyone may look into (mode %04o)", mode),
			"chmod o= " + quote(w.path)}
	}
	return nil
}

// Shared checks a plain file that belongs to whom it may, such as one of a configuration whose operators have users of
// their own: that not everyone may write to it or exchange it, and that only root's and this user's links lead to it.
func Shared(path string) error {
	f, err := open(path, false, true)
	if err != nil {
		return err
	}
	return f.Close()
}

// Create opens an output: a new file, or an existing one, which is emptied unless appending. It never follows a link in
// the last place, and refuses files of others, with other names, and whatever is no plain file, except a device such as
// /dev/null or /dev/stdout by its own path.
func Create(path string, perm os.FileMode, appending bool) (*os.File, error) {
	if isDevice(path) {
		return os.OpenFile(path, os.O_WRONLY, perm)
	}
	w, name, err := descend(path, false, false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY
	if appending {
		flags |= unix.O_APPEND
	}
	fd, err := unix.Openat(w.dir, name, flags|unix.O_CREAT|unix.O_EXCL, uint32(perm.Perm()))
	if errors.Is(err, unix.EEXIST) {
		return w.existing(path, name, flags, appending)
	}
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: w.join(name), Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func isDevice(path string) bool {
	switch path {
	case "/dev/null", "/dev/stdout", "/dev/stderr":
		return true
	}
	return strings.HasPrefix(path, "/dev/fd/") // what a shell hands over
}

// existing opens a file that is there for writing.
func (w *walk) existing(path, name string, flags int, appending bool) (*os.File, error) {
	full := w.join(name)
	fd, err := unix.Openat(w.dir, name, flags|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &Error{full, "is a symbolic link, which an output never follows", "rm " + quote(full)}
	}
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: full, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	err = w.file(full, fd, false)
	var st unix.Stat_t
	if err == nil {
		if err = unix.Fstat(fd, &st); err == nil && st.Nlink != 1 {
			err = &Error{full, fmt.Sprintf("is a file with %d names, one of which may be somebody else's", st.Nlink),
				"rm " + quote(full)}
		}
	}
	if err == nil && !appending {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Way checks the folders and links on the way to a path, which itself may not exist.
func Way(path string) error {
	w, _, err := descend(path, false, false)
	if err != nil {
		return err
	}
	w.close()
	return nil
}
