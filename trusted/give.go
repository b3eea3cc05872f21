package trusted

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// GiveFolder makes path a folder of mode 0700 that belongs, with the plain files in it, to another user, and returns it
// open. Only root can. The way to it is trusted; a link or a special file in it is taken away, and one with a second
// name is an error.
func GiveFolder(path string, uid, gid int) (*os.File, error) {
	w, name, err := descend(path, false, false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := unix.Mkdirat(w.dir, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	fd, err := unix.Openat(w.dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	// Of root first, so that nobody changes it meanwhile.
	err = errors.Join(unix.Fchown(fd, 0, 0), unix.Fchmod(fd, 0o700))
	if err == nil {
		err = giveFiles(dir, uid, gid)
	}
	if err == nil {
		err = unix.Fchown(fd, uid, gid)
	}
	if err != nil {
		dir.Close()
		return nil, fmt.Errorf("give %s to user %d: %w", path, uid, err)
	}
	return dir, nil
}

func giveFiles(dir *os.File, uid, gid int) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir.Name(), name)
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		switch {
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG:
			err = unix.Unlinkat(int(dir.Fd()), name, 0)
		case err == nil && st.Nlink != 1:
			err = &Error{path, fmt.Sprintf("is a file with %d names, one of which may be somebody else's", st.Nlink),
				"rm " + quote(path)}
		case err == nil:
			err = unix.Fchown(fd, uid, gid)
		}
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// LikeItsFolder gives a file that this process has just made to the user to whom the folder belongs in which it is:
// root leaves none behind that the folder's user cannot read. Other users' processes change nothing.
func LikeItsFolder(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var file, dir unix.Stat_t
	if err := unix.Stat(filepath.Dir(f.Name()), &dir); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(f.Name()), Err: err}
	}
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if file.Uid == dir.Uid || file.Uid != 0 || file.Mode&unix.S_IFMT != unix.S_IFREG || file.Nlink != 1 {
		return nil
	}
	if err := f.Chown(int(dir.Uid), int(dir.Gid)); err != nil {
		return err
	}
	return nil
}
