package nginx

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// watched runs a watcher and returns the channel of its changes.
func watched(t *testing.T, w *Watcher) <-chan Change {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	changes, done := make(chan Change, 100), make(chan error, 1)
	go func() { done <- w.Run(ctx, func(c Change) { changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, ignore)
	})
	return changes
}

func next(t *testing.T, changes <-chan Change) Change {
	t.Helper()
	select {
	case c := <-changes:
		return c
	case <-time.After(30 * time.Second):
		t.Fatal("the change was not noticed")
		return Change{}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+"~", text)
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// watchedFolder is a configuration of a main file, a link into another folder and an include folder.
func watchedFolder(t *testing.T) (dir, main, linked string) {
	t.Helper()
	dir = t.TempDir()
	for _, d := range []string{"available", "enabled", "conf.d"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	main, linked = filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "available", "site")
	write(t, main, "http { include enabled/*; include conf.d/*.conf; }\n")
	write(t, linked, "upstream u { server 127.0.0.1:1; }\n")
	if err := os.Symlink("../available/site", filepath.Join(dir, "enabled", "site")); err != nil {
		t.Fatal(err)
	}
	return dir, main, linked
}

func TestWatcherNoticesEdits(t *testing.T) {
	dir, main, linked := watchedFolder(t)
	w := &Watcher{Config: main, Settle: 10 * time.Millisecond}
	changes := watched(t, w)
	// The first edit is repeated until the watcher is up.
	up := false
	for i := 0; !up; i++ {
		write(t, main, strings.Repeat("#\n", i+1)+"http { include enabled/*; include conf.d/*.conf; }\n")
		select {
		case <-changes:
			up = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	drain(changes)
	for _, tt := range []struct {
		what string
		do   func()
		file string
	}{
		{"an edit in place", func() {
			write(t, main, "# in place\nhttp { include enabled/*; include conf.d/*.conf; }\n")
		}, main},
		{"a save by renaming", func() {
			replace(t, main, "# renamed\nhttp { include enabled/*; include conf.d/*.conf; }\n")
		}, main},
		{"an edit behind a link", func() { write(t, linked, "upstream u { server 127.0.0.1:2; }\n") },
			filepath.Join(dir, "enabled", "site")},
		{"a rename behind a link", func() { replace(t, linked, "upstream u { server 127.0.0.1:3; }\n") },
			filepath.Join(dir, "enabled", "site")},
		{"a new file in an include folder", func() { write(t, filepath.Join(dir, "conf.d", "new.conf"), "# new\n") },
			filepath.Join(dir, "conf.d", "new.conf")},
		{"a file taken away", func() {
			if err := os.Remove(filepath.Join(dir, "conf.d", "new.conf")); err != nil {
				t.Fatal(err)
			}
		}, filepath.Join(dir, "conf.d", "new.conf")},
	} {
		tt.do()
		c := next(t, changes)
		if c.Err != nil || len(c.Files) != 1 || c.Files[0] != tt.file || c.Config == nil {
			t.Errorf("%s: got %+v, want a change of %s", tt.what, c, tt.file)
		}
		drain(changes)
	}
	write(t, main, "http {\n")
	if c := next(t, changes); c.Err == nil {
		t.Errorf("a file that does not parse: got %+v, want an error", c)
	}
	write(t, main, "http { include enabled/*; }\n")
	if c := next(t, changes); c.Err != nil || c.Config == nil {
		t.Errorf("mended: got %+v, want the configuration", c)
	}
}

func drain(changes <-chan Change) {
	for {
		select {
		case <-changes:
		case <-time.After(30 * time.Millisecond):
			return
		}
	}
}

// Signs of a change can be missed; the rescan finds it all the same. Look is one rescan.
func TestLookFindsWhatWasMissed(t *testing.T) {
	_, main, linked := watchedFolder(t)
	w := &Watcher{Config: main}
	if c := w.Look(); c != nil {
		t.Errorf("the first look: got %+v, want nothing", c)
	}
	write(t, linked, "upstream u { server 127.0.0.1:9; }\n")
	if c := w.Look(); c == nil || len(c.Files) != 1 {
		t.Errorf("got %+v, want the changed file", c)
	}
	if c := w.Look(); c != nil {
		t.Errorf("looking again: got %+v, want nothing", c)
	}
}

func TestWatcherKnowsTrimtabsOwnWrites(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	w := &Watcher{Config: b.Config, Own: a.Owns}
	w.Look()
	a.intercept = func(s step, f func() error) error {
		err := f()
		if s.op == "exchange" || s.op == "put back" || s.op == "confirm" {
			if c := w.Look(); c != nil {
				t.Errorf("after %s: got %+v, want it known as our own", s.op, c)
			}
		}
		return err
	}
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	if c := w.Look(); c != nil {
		t.Errorf("after the change: got %+v, want nothing", c)
	}
	if _, err := a.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := w.Look(); c != nil {
		t.Errorf("after the rollback: got %+v, want nothing", c)
	}
	// The operator puts the weights back that Trimtab had written before.
	write(t, b.Config, b.text(3, 5))
	if c := w.Look(); c == nil {
		t.Error("an operator's edit that looks like an earlier write of ours was not noticed")
	}
}
