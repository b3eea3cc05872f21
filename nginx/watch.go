package nginx

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher notices when someone else changes the configuration: by an edit in place, by renaming over a file, through
// symbolic links, by adding a file that an include pattern matches, or by removing one.
type Watcher struct {
	Config string
	// Own reports whether content of a file is Trimtab's own writing, such as Applier.Owns; nil: nothing is.
	Own    func(path string, h Hash) bool
	Settle time.Duration // quiet time waited for after the first sign of a change; 0: 100 ms
	Rescan time.Duration // how often everything is looked at, should a sign be missed; 0: 30 s
	Logger *slog.Logger  // nil: discard

	notify func() (*fsnotify.Watcher, error) // nil: fsnotify.NewWatcher

	seen   map[string]Hash // by path
	failed string          // why the configuration could not be read at the last look
}

// Change is an edit of the configuration by someone else.
type Change struct {
	Files []string // changed, added or removed, sorted
	// Config is the configuration as it is now; nil when it cannot be read, and then Err says why.
	Config *Config
	Err    error
}

// Look compares the configuration with the last look and returns what someone else changed; nil when nothing was. The
// first look that can read it only remembers, unless one before could not. A configuration that cannot be read is
// reported once, and again when it can be.
func (w *Watcher) Look() *Change {
	cfg, err := ReadConfig(w.Config)
	if err != nil {
		if err.Error() == w.failed {
			return nil
		}
		w.failed = err.Error()
		return &Change{Err: err}
	}
	now := make(map[string]Hash, len(cfg.Files))
	for _, f := range cfg.Files {
		now[f.Path] = f.Hash
	}
	before, failed := w.seen, w.failed
	w.seen, w.failed = now, ""
	if before == nil && failed == "" {
		return nil
	}
	c := &Change{Config: cfg}
	for _, f := range cfg.Files {
		if old, ok := before[f.Path]; ok && old == f.Hash || ok && w.Own != nil && w.Own(f.Real, f.Hash) {
			continue
		}
		c.Files = append(c.Files, f.Path)
	}
	for path := range before {
		if _, ok := now[path]; !ok {
			c.Files = append(c.Files, path)
		}
	}
	if len(c.Files) == 0 && failed == "" {
		return nil
	}
	slices.Sort(c.Files)
	return c
}

// Run calls report with every change until ctx ends. It watches folders, not files, because editors and Trimtab itself
// put new files in the place of old ones.
func (w *Watcher) Run(ctx context.Context, report func(Change)) error {
	fsw, err := w.notifier()
	if err != nil {
		// Without signs from the kernel the rescan finds everything, later.
		w.log().Warn("changes of NGINX's configuration are noticed by the rescan only",
			"rescan", orDefault(w.Rescan, 30*time.Second), "error", err, "remedy", inotifyRemedy(err))
		fsw = nil
	}
	var events <-chan fsnotify.Event // nil, and so never ready, without a notifier
	var failures <-chan error
	if fsw != nil {
		defer fsw.Close()
		events, failures = fsw.Events, fsw.Errors
	}
	if c := w.Look(); c != nil && c.Err == nil {
		report(*c) // a look before Run could not read it
	}
	w.follow(fsw)
	rescan := time.NewTicker(orDefault(w.Rescan, 30*time.Second))
	defer rescan.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	pending := false // settle is running
	broken := 0      // looks in a row at a configuration that cannot be read
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				return errors.New("watch configuration: the notifier ended")
			}
			if !pending {
				settle.Reset(orDefault(w.Settle, 100*time.Millisecond))
				pending = true
			}
			continue
		case err, ok := <-failures:
			if !ok {
				return errors.New("watch configuration: the notifier ended")
			}
			// Typically a queue that overflowed: look at everything.
			w.log().Warn("watching the configuration", "error", err)
		case <-rescan.C:
		case <-settle.C:
			pending = false
		}
		failed := w.failed
		c := w.Look()
		w.follow(fsw)
		if c != nil && c.Err != nil && broken < 2 {
			// An editor may be in the middle of saving: look again before saying anything.
			broken++
			w.failed = failed
			settle.Reset(orDefault(w.Settle, 100*time.Millisecond))
			pending = true
			continue
		}
		broken = 0
		if c != nil {
			report(*c)
		}
	}
}

func (w *Watcher) notifier() (*fsnotify.Watcher, error) {
	if w.notify != nil {
		return w.notify()
	}
	return fsnotify.NewWatcher()
}

// inotifyRemedy names the limit of the kernel that stands in the way; empty when it is none.
func inotifyRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "raise fs.inotify.max_user_instances (sysctl), or the limit of open files"
	case errors.Is(err, syscall.ENOSPC):
		return "raise fs.inotify.max_user_watches (sysctl)"
	}
	return ""
}

// follow watches the folders that matter now; fsw is nil without a notifier.
func (w *Watcher) follow(fsw *fsnotify.Watcher) {
	if fsw == nil {
		return
	}
	want := map[string]bool{}
	cfg, err := ReadConfig(w.Config)
	if err != nil {
		// Keep what is watched: the file that mends it will most likely appear there.
		want[filepath.Dir(w.Config)] = true
		for _, dir := range fsw.WatchList() {
			want[dir] = true
		}
	} else {
		for _, f := range cfg.Files {
			for _, dir := range linkFolders(f.Path) {
				want[dir] = true
			}
		}
		for _, pattern := range cfg.Patterns {
			for _, dir := range patternFolders(pattern) {
				want[dir] = true
			}
		}
	}
	for _, dir := range fsw.WatchList() {
		if !want[dir] {
			_ = fsw.Remove(dir)
		}
		delete(want, dir)
	}
	for dir := range want {
		if err := fsw.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.log().Warn("cannot watch a folder; changes in it are noticed by the rescan only", "folder", dir, "error",
				err,
				"remedy", inotifyRemedy(err))
		}
	}
}

// linkFolders returns the folder of path and, where path is a symbolic link, of everything it leads through.
func linkFolders(path string) []string {
	dirs := []string{filepath.Dir(path)}
	for range 40 { // the kernel's own limit
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
		dirs = append(dirs, filepath.Dir(path))
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		dirs = append(dirs, filepath.Dir(real))
	}
	return dirs
}

// patternFolders returns the folders in which a new entry could match pattern.
func patternFolders(pattern string) []string {
	var dirs []string
	for dir := filepath.Dir(pattern); ; dir = filepath.Dir(dir) {
		if !strings.ContainsAny(dir, "*?[") {
			return append(dirs, dir)
		}
		matches, err := glob(dir)
		if err == nil {
			dirs = append(dirs, matches...)
		}
	}
}

func (w *Watcher) log() *slog.Logger {
	if w.Logger != nil {
		return w.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}
