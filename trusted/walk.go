package trusted

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is a path that is not trusted.
type Error struct {
	Path string // of the component
	Why  string
	Fix  string // a command that mends it; empty: there is none
}

func (e *Error) Error() string {
	text := e.Path + " " + e.Why
	if e.Fix != "" {
		text += ": " + e.Fix
	}
	return text
}

// maxLinks bounds how many symbolic links are followed, as the kernel does.
const maxLinks = 40

// walk is a way down from /.
type walk struct {
	uid   int
	any   bool // files and folders may belong to anybody, links may not
	links int
	asked string // the path that was given
	path  string // of dir, without links
	dir   int    // open with O_PATH
}

// descend opens the folder of path, and returns the name of path in it with all links on the way resolved; with follow
// also one in the last place. The name may not exist. The caller closes dir.
func descend(path string, follow, anybody bool) (_ *walk, name string, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fmt.Errorf("open /: %w", err)
	}
	down := &walk{uid: os.Geteuid(), any: anybody, asked: abs, path: "/", dir: root}
	defer func() {
		if err != nil {
			down.close()
		}
	}()
	return down.to(strings.Split(strings.Trim(abs, "/"), "/"), follow)
}

// to walks the parts of a path.
func (w *walk) to(rest []string, follow bool) (_ *walk, name string, err error) {
	for {
		name, rest = rest[0], rest[1:]
		if name == "" || name == "." {
			if len(rest) == 0 {
				return w, ".", nil
			}
			continue
		}
		var st unix.Stat_t
		switch err := unix.Fstatat(w.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); {
		case errors.Is(err, unix.ENOENT) && len(rest) == 0:
			return w, name, nil
		case err != nil:
			return nil, "", &os.PathError{Op: "open", Path: w.asked, Err: err}
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK && (len(rest) > 0 || follow) {
			if rest, err = w.link(name, &st, rest); err != nil {
				return nil, "", err
			}
			continue
		}
		if len(rest) == 0 {
			return w, name, nil
		}
		if err := w.enter(name); err != nil {
			return nil, "", err
		}
	}
}

func (w *walk) close() { _ = unix.Close(w.dir) }

func (w *walk) join(name string) string { return filepath.Join(w.path, name) }

// enter goes into a folder.
func (w *walk) enter(name string) error {
	fd, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: w.asked, Err: err}
	}
	_ = unix.Close(w.dir)
	w.dir, w.path = fd, w.join(name)
	return w.folder()
}

// folder judges the folder that the walk is in.
func (w *walk) folder() error {
	var st unix.Stat_t
	if err := unix.Fstat(w.dir, &st); err != nil {
		return &os.PathError{Op: "stat", Path: w.path, Err: err}
	}
	if err := w.owned(w.path, &st); err != nil {
		return err
	}
	if st.Mode&0o002 != 0 && st.Mode&unix.S_ISVTX == 0 && !readOnly(w.dir) {
		return &Error{w.path, fmt.Sprintf("is a folder that everyone may write to (mode %04o)", st.Mode&0o7777),
			"chmod o-w " + quote(w.path)}
	}
	return nil
}

// link follows a symbolic link and returns what is left to walk.
func (w *walk) link(name string, st *unix.Stat_t, rest []string) ([]string, error) {
	path := w.join(name)
	if err := w.owned(path, st); err != nil {
		return nil, err
	}
	if w.links++; w.links > maxLinks {
		return nil, &os.PathError{Op: "open", Path: path, Err: unix.ELOOP}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, name, buf)
	if err != nil {
		return nil, &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	target := string(buf[:n])
	if strings.HasPrefix(target, "/") {
		root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open /: %w", err)
		}
		_ = unix.Close(w.dir)
		w.dir, w.path = root, "/"
	}
	parts := append(strings.Split(strings.Trim(target, "/"), "/"), rest...)
	return parts, nil
}

// owned judges the owner of a folder, a link or a file.
func (w *walk) owned(path string, st *unix.Stat_t) error {
	if st.Uid == 0 || int(st.Uid) == w.uid || w.any && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return nil
	}
	owner := "root"
	if w.uid != 0 {
		owner = fmt.Sprint(w.uid)
	}
	return &Error{path, fmt.Sprintf("belongs to user %d, who could exchange it", st.Uid),
		fmt.Sprintf("chown -h %s %s", owner, quote(path))}
}

// readOnly reports whether the folder cannot be written to by anybody.
func readOnly(dir int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(dir, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
}

// quote makes a path one word of a shell.
func quote(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@%") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
