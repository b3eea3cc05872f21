package nginx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program that hangs, and one whose child keeps its output open, end at the limit with all that they started.
func TestOutputEndsAtItsLimit(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"it hangs", "#!/bin/sh\necho $$ >PIDS; sleep 600\n"},
		{"a child of it keeps the output open", "#!/bin/sh\nsleep 600 &\necho $! >PIDS; exit 0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path, pids := filepath.Join(dir, "nginx"), filepath.Join(dir, "pids")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(c.script, "PIDS", pids)), 0o700); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, _, err := Output(t.Context(), 300*time.Millisecond, path, "-V")
			if took := time.Since(began); err == nil || took > 10*time.Second {
				t.Errorf("got %v after %v, want an error soon after 300ms", err, took)
			}
			text, err := os.ReadFile(pids)
			if err != nil {
				t.Fatal(err)
			}
			pid := 0
			for _, c := range strings.TrimSpace(string(text)) {
				pid = 10*pid + int(c-'0')
			}
			waitFor(t, "the end of what it started", func() bool {
				state, err := processTitle(pid)
				return errors.Is(unix.Kill(pid, 0), unix.ESRCH) || err != nil || state == ""
			})
		})
	}
}

// nginx -t creates what it lacks with the mode that an operator's own command gives it.
func TestUmaskOfTheTest(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "nginx")
	made := filepath.Join(dir, "error.log")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n: >"+made+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := unix.Umask(0o077)
	defer unix.Umask(before)
	if err := (validator{binary: binary, timeout: 10 * time.Second}).test(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(made)
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("got mode %v, %v, want 0644", info.Mode(), err)
	}
	if now := unix.Umask(0o077); now != 0o077 {
		t.Errorf("got umask %o of the process, want it unchanged", now)
	}
}
