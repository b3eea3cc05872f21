package nginx

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// replacement puts new content in the place of a live file.
type replacement struct {
	Path string // as the configuration names it, for people
	Real string // the live file, links resolved
	Temp string // beside it; holds the new file before the swap, the old one after it
	Old  Hash   // of what is replaced
	New  Hash

	before, after []byte
}

func newReplacement(f *File, data []byte) *replacement {
	return &replacement{
		Path: f.Path, Real: f.Real, Temp: tempFor(f.Real), Old: f.Hash, New: hashOf(data), before: f.Data, after: data,
	}
}

// tempPrefix begins the names of temporary files.
const tempPrefix = ".trimtab-"

// tempFor names a file beside path. The leading dot keeps it out of include patterns.
func tempFor(path string) string {
	return filepath.Join(filepath.Dir(path), tempPrefix+rand.Text()[:12])
}

// replaceable checks, before anything is written, that the file can be replaced in one step.
func (r *replacement) replaceable() error {
	if Contained(r.Real) {
		return &Refusal{Reason: ErrContained.Error()}
	}
	var file, dir unix.Statx_t
	mask := unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	if err := unix.Statx(unix.AT_FDCWD, r.Real, 0, mask, &file); err != nil {
		return fmt.Errorf("stat %s: %w", r.Real, err)
	}
	if err := unix.Statx(unix.AT_FDCWD, filepath.Dir(r.Real), 0, mask, &dir); err != nil {
		return fmt.Errorf("stat %s: %w", filepath.Dir(r.Real), err)
	}
	if file.Mask&dir.Mask&unix.STATX_MNT_ID != 0 && file.Mnt_id != dir.Mnt_id {
		return refuse("%s is a mount of its own (a single bind-mounted file) and cannot be replaced in one step; "+
			"mount its folder instead, or change weights by dns or live", r.Real)
	}
	if file.Nlink > 1 {
		return refuse("%s has %d hard links: replacing it would part them; use a symbolic link", r.Real, file.Nlink)
	}
	return nil
}

// stage writes the new file beside the live one, with the same owner, mode and extended attributes.
func (a *Applier) stage(r *replacement) error {
	return a.create(r.Temp, r.after, func(f *os.File) error { return a.copyAttributes(r.Real, f) })
}

func (a *Applier) copyAttributes(from string, to *os.File) error {
	var info os.FileInfo
	err := a.do("stat", from, func() (err error) { info, err = os.Stat(from); return err })
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if err := a.do("chown", to.Name(), func() error { return to.Chown(int(st.Uid), int(st.Gid)) }); err != nil {
		return err
	}
	// After chown, which clears the set-id bits.
	if err := a.do("chmod", to.Name(), func() error { return unix.Fchmod(int(to.Fd()), st.Mode&0o7777) }); err != nil {
		return err
	}
	return a.do("copy attributes", to.Name(), func() error { return copyXattrs(from, to) })
}

func copyXattrs(from string, to *os.File) error {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX and XATTR_SIZE_MAX
	n, err := unix.Listxattr(from, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	value := make([]byte, 64<<10)
	for names := buf[:n]; len(names) > 0; {
		name := unix.ByteSliceToString(names)
		names = names[len(name)+1:]
		size, err := unix.Getxattr(from, name, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, value[:size], 0)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// errChanged is returned when a file is not what it was when the plan was made.
var errChanged = errors.New("changed by someone else")

// swap exchanges the staged file and the live one, in one step, and looks at what it got: where someone else saved the
// file in between, their version goes back.
func (a *Applier) swap(r *replacement) error {
	// A cheap look first, so that the live name shows our version only if the file seems unchanged.
	now, err := a.readFile(r.Real)
	if err != nil {
		return err
	}
	if hashOf(now) != r.Old {
		return fmt.Errorf("%s: %w", r.Real, errChanged)
	}
	a.owned.note(r.Real, r.New)
	exchanged := true
	err = a.do("exchange", r.Real, func() error {
		err := unix.Renameat2(unix.AT_FDCWD, r.Temp, unix.AT_FDCWD, r.Real, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			exchanged = false // a file system that cannot exchange
			return os.Rename(r.Temp, r.Real)
		}
		return err
	})
	if err != nil {
		return err
	}
	if exchanged {
		if err := a.swapBack(r); err != nil {
			return err
		}
	}
	return a.syncDir(filepath.Dir(r.Real))
}

// swapBack looks at the file that was exchanged out. If it is not the one that was expected, someone saved it after the
// last look: it goes back to its place, and errChanged is returned.
func (a *Applier) swapBack(r *replacement) error {
	old, err := a.readFile(r.Temp)
	if err != nil {
		return errors.Join(err, a.do("exchange back", r.Real, func() error { return exchange(r.Temp, r.Real) }))
	}
	if hashOf(old) == r.Old {
		return nil
	}
	// The newest save wins. Each turn puts the other version live; it ends as soon as what comes out is ours.
	for range 10 {
		if err := a.do("exchange back", r.Real, func() error { return exchange(r.Temp, r.Real) }); err != nil {
			return fmt.Errorf("%s: %w, and it is kept at %s", r.Real, err, r.Temp)
		}
		if out, err := os.ReadFile(r.Temp); err != nil || hashOf(out) == r.New {
			break
		}
	}
	return fmt.Errorf("%s: %w", r.Real, errChanged)
}

func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// finish removes the old file that the swap left under the temporary name. An editor that had it open may have written
// to it since: then that version goes back to its place and errChanged is returned.
func (a *Applier) finish(r *replacement) error {
	old, err := os.ReadFile(r.Temp)
	if os.IsNotExist(err) {
		return nil
	}
	if err == nil && hashOf(old) != r.Old && hashOf(old) != r.New {
		if live, err := os.ReadFile(r.Real); err == nil && hashOf(live) == r.New {
			if err := a.do("put back", r.Real, func() error { return os.Rename(r.Temp, r.Real) }); err != nil {
				return err
			}
			return fmt.Errorf("%s: %w", r.Real, errChanged)
		}
	}
	return a.remove(r.Temp)
}

// sweep removes what the last change could not remove when it ended.
func (a *Applier) sweep(last *journal) {
	if last == nil {
		return
	}
	for _, f := range last.Files {
		if err := a.finish(&replacement{Path: f.Path, Real: f.Real, Temp: f.Temp, Old: f.Old, New: f.New}); err != nil {
			a.log().Warn("cannot clear a temporary file of the last change", "file", f.Temp, "error", err)
		}
	}
}

// undo puts the old files back wherever ours are live, and removes the temporary ones. It reports whether any file had
// to be put back.
func (a *Applier) undo(files []*replacement) (restored bool, err error) {
	var errs []error
	for _, r := range files {
		back, err := a.undoOne(r)
		restored = restored || back
		errs = append(errs, err)
	}
	return restored, errors.Join(errs...)
}

func (a *Applier) undoOne(r *replacement) (bool, error) {
	// A name of its own: what a crash leaves half-written here must never be taken for the old file.
	staging := r.Temp + "-back"
	if err := a.remove(staging); err != nil {
		return false, err
	}
	live, err := a.readFile(r.Real)
	if err != nil {
		return false, err
	}
	if hashOf(live) != r.New || r.New == r.Old {
		return false, a.remove(r.Temp) // the old file, or someone's save: it stays
	}
	// What the swap brought out is normally still there: it goes back without needing any space on the disk. It is the
	// old file, or what someone saved at that very moment.
	if out, err := a.readFile(r.Temp); err == nil && hashOf(out) != r.New {
		if hashOf(out) == r.Old {
			a.owned.note(r.Real, r.Old)
		}
		if err := a.do("put back", r.Real, func() error { return os.Rename(r.Temp, r.Real) }); err != nil {
			return true, err
		}
		return true, a.syncDir(filepath.Dir(r.Real))
	}
	if err := a.remove(r.Temp); err != nil {
		return true, err
	}
	back := &replacement{Path: r.Path, Real: r.Real, Temp: staging, Old: r.New, New: r.Old, before: r.after,
		after: r.before}
	if err := a.stage(back); err != nil {
		return true, err
	}
	if err := a.swap(back); err != nil && !errors.Is(err, errChanged) {
		return true, errors.Join(err, a.remove(back.Temp))
	}
	if err := a.finish(back); err != nil && !errors.Is(err, errChanged) {
		return true, err
	}
	return true, nil
}
