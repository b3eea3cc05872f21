package trusted

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const nobody = 65534

// yard is a folder for one test with a few things in it.
func yard(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode)) // whatever the umask
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string) (path string)
		private bool
		root    bool   // the case needs root
		says    string // part of the error; empty: it opens
	}{
		{"a plain file", func(t *testing.T, dir string) string { put(t, dir+"/f", "x", 0o644); return dir + "/f" },
			false, false, ""},
		{"a secret of its own", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o600)
			return dir + "/f"
		}, true, false, ""},
		{"a secret for its group", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o640)
			return dir + "/f"
		}, true, false, ""},
		{"a secret that everyone may read", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o644)
			return dir + "/f"
		}, true, false, "chmod o= "},
		{"a file that everyone may write", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o666)
			return dir + "/f"
		}, false, false, "chmod o-w "},
		{"a file of somebody else", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o644)
			must(t, os.Chown(dir+"/f", nobody, nobody))
			return dir + "/f"
		}, false, true, "chown -h root "},
		{"a link of one's own", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o644)
			must(t, os.Symlink("f", dir+"/l"))
			return dir + "/l"
		}, false, false, ""},
		{"a link through a folder above", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/a", 0o755))
			put(t, dir+"/f", "x", 0o644)
			must(t, os.Symlink("../f", dir+"/a/l"))
			return dir + "/a/l"
		}, false, false, ""},
		{"a link of somebody else", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o644)
			must(t, os.Symlink(dir+"/f", dir+"/l"))
			must(t, os.Lchown(dir+"/l", nobody, nobody))
			return dir + "/l"
		}, false, true, "belongs to user 65534"},
		{"a link that leads to itself", func(t *testing.T, dir string) string {
			must(t, os.Symlink("l", dir+"/l"))
			return dir + "/l"
		}, false, false, "too many levels"},
		{"a folder that everyone may write to", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/a", 0o755))
			must(t, os.Chmod(dir+"/a", 0o777))
			put(t, dir+"/a/f", "x", 0o644)
			return dir + "/a/f"
		}, false, false, "chmod o-w "},
		{"such a folder that is sticky", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/a", 0o755))
			must(t, os.Chmod(dir+"/a", 0o777|os.ModeSticky))
			put(t, dir+"/a/f", "x", 0o644)
			return dir + "/a/f"
		}, false, false, ""},
		{"a folder of somebody else", func(t *testing.T, dir string) string {
			must(t, os.Mkdir(dir+"/a", 0o755))
			put(t, dir+"/a/f", "x", 0o644)
			must(t, os.Chown(dir+"/a", nobody, nobody))
			return dir + "/a/f"
		}, false, true, "belongs to user 65534"},
		{"a pipe", func(t *testing.T, dir string) string {
			must(t, syscall.Mkfifo(dir+"/f", 0o644))
			return dir + "/f"
		}, false, false, "not a plain file"},
		{"a folder", func(t *testing.T, dir string) string { return dir }, false, false, "not a plain file"},
		{"nothing", func(t *testing.T, dir string) string { return dir + "/f" }, false, false, "no such file"},
		{"dots in the path", func(t *testing.T, dir string) string {
			put(t, dir+"/f", "x", 0o644)
			return dir + "/./../" + filepath.Base(dir) + "//f"
		}, false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			f, err := open(c.prepare(t, yard(t)), c.private, false)
			if err == nil {
				f.Close()
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	for _, c := range []struct {
		name      string
		prepare   func(t *testing.T, dir string)
		appending bool
		says      string // part of the error; empty: what is written stands in the file
		want      string
	}{
		{"a new file", func(*testing.T, string) {}, false, "", "new"},
		{"a file of before is emptied", func(t *testing.T, dir string) {
			put(t, dir+"/out", "something longer", 0o644)
		}, false, "", "new"},
		{"or gone on with", func(t *testing.T, dir string) { put(t, dir+"/out", "old ", 0o644) }, true, "", "old new"},
		{"a link is not followed, even one's own", func(t *testing.T, dir string) {
			put(t, dir+"/victim", "precious", 0o644)
			must(t, os.Symlink(dir+"/victim", dir+"/out"))
		}, false, "symbolic link", ""},
		{"nor one that leads nowhere", func(t *testing.T, dir string) {
			must(t, os.Symlink(dir+"/victim", dir+"/out"))
		}, false, "symbolic link", ""},
		{"a file with a second name is left alone", func(t *testing.T, dir string) {
			put(t, dir+"/victim", "precious", 0o644)
			must(t, os.Link(dir+"/victim", dir+"/out"))
		}, false, "2 names", ""},
		{"a pipe too", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(dir+"/out", 0o644)) }, false,
			"not a plain file", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := yard(t)
			c.prepare(t, dir)
			f, err := Create(dir+"/out", 0o600, c.appending)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				if text, err := os.ReadFile(dir + "/victim"); err == nil && string(text) != "precious" {
					t.Errorf("got %q in the file that was not meant", text)
				}
				return
			}
			must(t, err)
			if _, err := f.WriteString("new"); err != nil {
				t.Fatal(err)
			}
			must(t, f.Close())
			if text, err := os.ReadFile(dir + "/out"); err != nil || string(text) != c.want {
				t.Errorf("got %q, %v, want %q", text, err, c.want)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    os.FileMode
		private bool
		says    string
	}{
		{"the state folder", 0o700, true, ""},
		{"one for a group to read", 0o750, true, ""},
		{"one that everyone may look into", 0o755, true, "chmod o= "},
		{"one that a group may write to", 0o770, true, "chmod go-w "},
		{"one that is no secret", 0o755, false, ""},
		{"one that everyone may write to", 0o777, false, "chmod "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := yard(t) + "/state"
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Chmod(dir, c.mode))
			if err := Folder(dir, c.private); c.says == "" && err != nil || c.says != "" &&
				(err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if err := Folder(yard(t)+"/none", true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it is not there", err)
	}
}

func TestSecret(t *testing.T) {
	path := yard(t) + "/token"
	put(t, path, "abc\n", 0o600)
	if got, err := Secret(path); string(got) != "abc\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	put(t, path, strings.Repeat("x", maxSecret+1), 0o600)
	if _, err := Secret(path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want that it is too long", err)
	}
}

func TestQuote(t *testing.T) {
	for path, want := range map[string]string{"/etc/nginx": "/etc/nginx", "/a b": "'/a b'",
		"/it's;rm": `'/it'\''s;rm'`} {
		if got := quote(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestSharedFilesMayBelongToOthers(t *testing.T) {
	needRoot(t)
	dir := yard(t)
	must(t, os.Mkdir(dir+"/conf", 0o755))
	put(t, dir+"/conf/f", "x", 0o664)
	must(t, os.Chown(dir+"/conf", nobody, nobody))
	must(t, os.Chown(dir+"/conf/f", nobody, nobody))
	if err := Shared(dir + "/conf/f"); err != nil {
		t.Errorf("got %v for a file of another user, want none", err)
	}
	must(t, os.Symlink("f", dir+"/conf/l"))
	must(t, os.Lchown(dir+"/conf/l", nobody, nobody))
	if err := Shared(dir + "/conf/l"); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("got %v for another user's link, want that it is refused", err)
	}
	must(t, os.Chmod(dir+"/conf/f", 0o666))
	if err := Shared(dir + "/conf/f"); err == nil || !strings.Contains(err.Error(), "chmod o-w ") {
		t.Errorf("got %v for a file that everyone may write, want the command", err)
	}
}
