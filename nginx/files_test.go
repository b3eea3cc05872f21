package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"trimtab/nginx/instance"
)

// applyTo writes text as a whole configuration and applies the settings with nginx -t, without a running NGINX.
func applyTo(t *testing.T, path, text string, want Settings) (string, error) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &Applier{Config: path, StateDir: filepath.Join(t.TempDir(), "s"), Binary: binaryOrSkip(t),
		Prefix: filepath.Dir(path), NoReload: true}
	_, err := a.Apply(t.Context(), want)
	got, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(got), err
}

// private is a configuration that NGINX accepts and that keeps to dir; http goes into the http block.
func private(dir, http string) string {
	return fmt.Sprintf("pid %s/p;\nerror_log %s/e;\nevents {}\nhttp { access_log off; %s\n}\n", dir, dir, http)
}

var u12 = Settings{"u": {"127.0.0.1:1": {Weight: 3}, "127.0.0.1:2": {Weight: 5}}}

func TestOddText(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "nginx.conf")
	const servers = "server 127.0.0.1:1 weight=1; server 127.0.0.1:2 weight=2;"
	for _, tt := range []struct{ what, text, edited string }{
		{"CRLF line ends", strings.ReplaceAll(private(dir, "upstream u {\n"+servers+"\n}"), "\n", "\r\n"), ""},
		{"no final newline", strings.TrimSpace(private(dir, "upstream u { "+servers+" }")), ""},
		{"a comment without a newline at the end", private(dir, "upstream u { "+servers+" }") + "# weight=1 } {", ""},
		{"a } inside a word of a map", private(dir,
			"map $host $x { default foo}bar; \"{\" '}'; } upstream u { "+servers+" }"), ""},
		{"an upstream with a quoted name", private(dir, `upstream "u" { `+servers+" }"), ""},
		{"weight= in a comment and in a string", private(dir, "log_format x 'weight=1'; # weight=1\n upstream u { # "+
			"weight=1\n"+servers+" }"), ""},
		{"an address over two lines with comments between", private(dir, "upstream u {\n server # one\n 127.0.0.1:1 "+
			"# two weight=9\n weight=1 # three\n ;\nserver 127.0.0.1:2 weight=2; }"), ""},
		{"5 MB", private(dir, "upstream u { "+servers+" }\n"+strings.Repeat("# "+strings.Repeat("x", 97)+"\n", 50_000)),
			""},
		{"a weight written twice: the last one counts",
			private(dir, "upstream u { server 127.0.0.1:1 weight=9 weight=1; server 127.0.0.1:2 weight=2; }"),
			private(dir, "upstream u { server 127.0.0.1:1 weight=9 weight=3; server 127.0.0.1:2 weight=5; }")},
		{"a missing weight is inserted behind the address",
			private(dir, "upstream u { server '127.0.0.1:1'; server 127.0.0.1:2 max_fails=0 weight=2; }"),
			private(dir, "upstream u { server '127.0.0.1:1' weight=3; server 127.0.0.1:2 max_fails=0 weight=5; }")},
		{"a weight with leading zeros",
			private(dir, "upstream u { server 127.0.0.1:1 weight=0001; server 127.0.0.1:2 weight=2; }"),
			private(dir, "upstream u { server 127.0.0.1:1 weight=3; server 127.0.0.1:2 weight=5; }")},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got, err := applyTo(t, path, tt.text, u12)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.edited
			if want == "" {
				at := strings.Index(tt.text, "127.0.0.1:1")
				tail := strings.Replace(tt.text[at:], "weight=1", "weight=3", 1)
				if strings.Contains(tt.text, "# two weight=9") {
					tail = strings.Replace(tt.text[at:], "\n weight=1", "\n weight=3", 1)
				}
				want = tt.text[:at] + strings.Replace(tail, "weight=2", "weight=5", 1)
			}
			if got != want {
				t.Errorf("got\n%.2000s\nwant\n%.2000s", got, want)
			}
		})
	}
}

func TestLuaBlocksAreLeftAlone(t *testing.T) {
	modules, err := instance.LuaModules()
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	text := modules + private(dir, `
    init_by_lua_block {
        -- it's a }
        local s = "}" .. '}' .. [[ } ]] --[==[ } server 127.0.0.1:1 weight=1; ]==]
        t = {{1}, {2}}
    }
    upstream u { server 127.0.0.1:1 weight=1; server 127.0.0.1:2 weight=2; }`)
	got, err := applyTo(t, filepath.Join(dir, "nginx.conf"), text, u12)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(text, "upstream u")
	if want := text[:at] + strings.Replace(strings.Replace(text[at:], "weight=1", "weight=3", 1), "weight=2",
		"weight=5", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRefusedText(t *testing.T) {
	dir := t.TempDir()
	path, fragment := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "servers.inc")
	if err := os.WriteFile(fragment, []byte("server 127.0.0.1:1 weight=1; server 127.0.0.1:2 weight=2;\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "again.inc")
	if err := os.Symlink(fragment, link); err != nil {
		t.Fatal(err)
	}
	const both = "upstream u { server 127.0.0.1:1; server 127.0.0.1:2; }"
	for _, tt := range []struct{ what, text, why string }{
		{"a fragment included by two upstreams", private(dir, "upstream u { include servers.inc; } upstream v { "+
			"include servers.inc; }"), "included 2 times"},
		{"a fragment included by two upstreams, once through a link",
			private(dir, "upstream u { include servers.inc; } upstream v { include again.inc; }"), "same file"},
		{"the same server twice", private(dir, "upstream u { server 127.0.0.1:1; server 127.0.0.1:1 weight=2; server "+
			"127.0.0.1:2; }"), "twice"},
		{"no such upstream", private(dir, "upstream v { server 127.0.0.1:1; }"), `no upstream "u"`},
		{"no such server", private(dir, "upstream u { server 127.0.0.1:1; server 127.0.0.1:3; }"),
			"has no server 127.0.0.1:2"},
		{"the same name in http and stream", private(dir, both) + "stream { " + both + " }\n",
			"one name must mean one group"},
		{"a byte order mark", "\ufeff" + private(dir, both), "invalid as it stands"},
		{"a weight that NGINX refuses", private(dir, "upstream u { server 127.0.0.1:1 weight=0; server 127.0.0.1:2; }"),
			"invalid parameter"},
		{"a file that does not parse", private(dir, both+" }"), `unexpected "}"`},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got, err := applyTo(t, path, tt.text, u12)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("got %v, want a refusal that says %q", err, tt.why)
			}
			if got != tt.text {
				t.Error("the file was changed")
			}
		})
	}
	for _, w := range []int{0, -1, 101} {
		if _, err := applyTo(t, path, private(dir, both), Settings{"u": {"127.0.0.1:1": {Weight: w}}}); err == nil {
			t.Errorf("weight %d: got no error", w)
		}
	}
}

func TestOwnerModeAndAttributesStay(t *testing.T) {
	b := newBed(t, "")
	if err := os.Chmod(b.Config, 0o640); err != nil {
		t.Fatal(err)
	}
	wantUID := uint32(os.Geteuid())
	if os.Geteuid() == 0 {
		wantUID = 65534
		if err := os.Chown(b.Config, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	attribute := unix.Setxattr(b.Config, "user.trimtab", []byte("kept"), 0) == nil
	if _, err := b.applier(t).Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != wantUID || info.Mode() != 0o640 {
		t.Errorf("got owner %d and mode %v, want %d and 0640", st.Uid, info.Mode(), wantUID)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(b.Config, "user.trimtab", value); attribute &&
		(err != nil || !bytes.Equal(value[:n], []byte("kept"))) {
		t.Errorf("got attribute %q, %v, want it kept", value[:max(n, 0)], err)
	}
}

func TestSymbolicLinkStays(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "available", "u.conf")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("upstream v { server 127.0.0.1:1; server 127.0.0.1:2; }\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "u.conf")
	if err := os.Symlink("available/u.conf", link); err != nil {
		t.Fatal(err)
	}
	b := newBed(t, "    include "+dir+"/*.conf;\n")
	r, err := b.applier(t).Apply(t.Context(), Settings{"v": {"127.0.0.1:2": {Weight: 4}}})
	if err != nil || len(r.Files) != 1 || r.Files[0] != target {
		t.Fatalf("got %+v, %v, want %s written", r, err, target)
	}
	if got, err := os.Readlink(link); err != nil || got != "available/u.conf" {
		t.Errorf("got link %q, %v, want it as it was", got, err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "upstream v { server 127.0.0.1:1; server "+
		"127.0.0.1:2 weight=4; }\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMountedAndHardLinkedFilesAreRefused(t *testing.T) {
	b := newBed(t, "")
	if err := os.Link(b.Config, b.Config+".hard"); err != nil {
		t.Fatal(err)
	}
	r, err := b.applier(t).Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "2 hard links")
	if err := os.Remove(b.Config + ".hard"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(b.Config, b.Config, "", unix.MS_BIND, ""); errors.Is(err, unix.EPERM) {
		t.Skip("mounting needs CAP_SYS_ADMIN")
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(b.Config, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	r, err = b.applier(t).Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "mount of its own")
	if b.read(t) != string(b.old) || len(leftovers(t, b.Dir)) > 0 {
		t.Error("something was written")
	}
}

// Two files of one configuration change together; a fault at the second leaves both old.
func TestTwoFilesChangeTogether(t *testing.T) {
	dir := t.TempDir()
	second := filepath.Join(dir, "v.conf")
	old := "upstream v { server 127.0.0.1:1; server 127.0.0.1:2; }\n"
	if err := os.WriteFile(second, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBed(t, "    include "+dir+"/*.conf;\n")
	want := b.want(3, 5)
	want["v"] = map[string]Setting{"127.0.0.1:1": {Weight: 2}, "127.0.0.1:2": {Weight: 3}}
	a := b.applier(t)
	n := 0
	a.intercept = func(s step, f func() error) error {
		if s.op == "exchange" {
			if n++; n == 2 {
				return unix.EIO
			}
		}
		return f()
	}
	if _, err := a.Apply(t.Context(), want); !errors.Is(err, unix.EIO) {
		t.Fatalf("got %v, want EIO", err)
	}
	if got, _ := os.ReadFile(second); b.read(t) != string(b.old) || string(got) != old {
		t.Errorf("got %q and\n%s\nwant both old", got, b.read(t))
	}
	a.intercept = nil
	r, err := a.Apply(t.Context(), want)
	if err != nil || len(r.Files) != 2 {
		t.Fatalf("got %+v, %v, want two files written", r, err)
	}
	if r, err = a.Rollback(t.Context()); err != nil || !r.Reloaded {
		t.Fatalf("roll back: %+v, %v", r, err)
	}
	if got, _ := os.ReadFile(second); b.read(t) != string(b.old) || string(got) != old {
		t.Errorf("after the rollback: got %q and\n%s", got, b.read(t))
	}
}
