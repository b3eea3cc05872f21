package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ready is a build of small inputs in place of what scripts/packages.sh makes.
func ready(t *testing.T) build {
	t.Helper()
	in := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(in, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("trimtab-linux-amd64", "a program for amd64")
	write("trimtab-linux-arm64", "a program for arm64")
	write("trimtab-pie-amd64", "a position-independent program for amd64")
	write("trimtab-pie-arm64", "a position-independent program for arm64")
	write("trimtab.service", "[Service]\nExecStart=/usr/bin/trimtab tune\n")
	write("trimtab.toml", "# interval = \"3s\"\n")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		write("completion."+shell, "# "+shell+"\n")
	}
	write("man/trimtab-init.1.gz", "a page")
	write("man/trimtab.toml.5.gz", "a page")
	return build{root: "..", in: in, out: t.TempDir(), version: "v1.2.3-4-gabcdef", at: time.Unix(1_700_000_000, 0).UTC(),
		arches: []string{"amd64", "arm64"}}
}

// made are the files of a build, by name.
func made(t *testing.T, b build) map[string][]byte {
	t.Helper()
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.out)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(b.out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestTwoBuildsOfACommitAreTheSame(t *testing.T) {
	first := ready(t)
	second := first
	second.out = t.TempDir()
	a, b := made(t, first), made(t, second)
	if len(a) != 5 {
		t.Errorf("got %d files, want deb and rpm for two architectures, and an image", len(a))
	}
	for name, text := range a {
		if !bytes.Equal(text, b[name]) {
			t.Errorf("%s differs between two builds", name)
		}
	}
}

// arMembers are the members of an ar archive, by name.
func arMembers(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(text, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("no ar archive")
	}
	out := map[string][]byte{}
	for len(rest) >= 60 {
		head := string(rest[:60])
		size, err := strconv.Atoi(strings.TrimSpace(head[48:58]))
		if err != nil || len(rest) < 60+size {
			t.Fatalf("a member of an ar archive: %q", head)
		}
		out[strings.TrimRight(head[:16], " /")] = rest[60 : 60+size]
		rest = rest[60+size:]
		if size%2 == 1 && len(rest) > 0 {
			rest = rest[1:]
		}
	}
	return out
}

// member is a file of a tar archive.
type member struct {
	tar.Header
	text []byte
}

func tarMembers(t *testing.T, r io.Reader) map[string]member {
	t.Helper()
	out := map[string]member{}
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(h.Name, ".")] = member{*h, text}
	}
}

func unzipped(t *testing.T, text []byte) io.Reader {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheDebHoldsWhatItShould(t *testing.T) {
	b := ready(t)
	deb := arMembers(t, made(t, b)["trimtab_1.2.3+4+gabcdef_amd64.deb"])
	control, data := tarMembers(t, unzipped(t, deb["control.tar.gz"])), tarMembers(t, unzipped(t, deb["data.tar.gz"]))
	if got := string(control["/conffiles"].text); strings.TrimSpace(got) != "/etc/trimtab/trimtab.toml" {
		t.Errorf("got conffiles %q, want the configuration alone", got)
	}
	for _, want := range []string{"Package: trimtab", "Version: 1.2.3+4+gabcdef", "Architecture: amd64",
		"Recommends: nginx, libnginx-mod-http-lua"} {
		if !strings.Contains(string(control["/control"].text), want+"\n") {
			t.Errorf("control: got\n%swant %s in it", control["/control"].text, want)
		}
	}
	for _, script := range []string{"/postinst", "/prerm", "/postrm"} {
		if control[script].Mode&0o111 == 0 || !strings.HasPrefix(string(control[script].text), "#!/bin/sh\nset -e\n") {
			t.Errorf("%s: got mode %o, want a script that can be run", script, control[script].Mode)
		}
	}
	if !strings.Contains(string(control["/templates"].text), "Template: trimtab/remove-state") {
		t.Error("the question of the purge is missing")
	}
	if got := string(data["/usr/bin/trimtab"].text); got != "a position-independent program for amd64" {
		t.Errorf("got program %q", got)
	}
	for path, mode := range map[string]int64{
		"/usr/bin/trimtab": 0o755, "/etc/trimtab/trimtab.toml": 0o644,
		"/usr/lib/systemd/system/trimtab.service": 0o644, "/usr/share/man/man1/trimtab-init.1.gz": 0o644,
		"/usr/share/man/man5/trimtab.toml.5.gz": 0o644, "/usr/share/bash-completion/completions/trimtab": 0o644,
		"/usr/share/zsh/vendor-completions/_trimtab": 0o644, "/usr/share/fish/vendor_completions.d/trimtab.fish": 0o644,
		"/usr/share/doc/trimtab/copyright": 0o644, "/usr/share/doc/trimtab/examples/compose.yaml": 0o644,
	} {
		m, ok := data[path]
		if !ok || m.Mode&0o777 != mode || m.Uname != "root" || !m.ModTime.Equal(b.at) {
			t.Errorf("%s: got %v, mode %o of %s at %v", path, ok, m.Mode, m.Uname, m.ModTime)
		}
	}
}

func TestTheRPMSaysWhatItIs(t *testing.T) {
	files := made(t, ready(t))
	for name, text := range files {
		if !strings.HasSuffix(name, ".rpm") {
			continue
		}
		if !strings.HasPrefix(name, "trimtab-1.2.3+4+gabcdef") || !bytes.HasPrefix(text, []byte{0xed, 0xab, 0xee, 0xdb}) {
			t.Errorf("%s begins with % x, want the magic number of RPM", name, text[:4])
		}
		for _, want := range []string{"trimtab", "Apache-2.0", "/usr/share/zsh/site-functions/"} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s: want %q in its header", name, want)
			}
		}
	}
	if n := slices.Collect(func(yield func(string) bool) {
		for name := range files {
			if strings.HasSuffix(name, ".rpm") && !yield(name) {
				return
			}
		}
	}); len(n) != 2 {
		t.Errorf("got %v, want an rpm for each architecture", n)
	}
}

func TestVersionsOfPackages(t *testing.T) {
	for _, c := range []struct{ name, version, want string }{
		{"a tag", "v0.1.0", "0.1.0"},
		{"commits after a tag, with changes", "v0.1.0-4-gabcdef-dirty", "0.1.0+4+gabcdef+dirty"},
		{"a commit before the first tag", "abcdef", "0.0.0+abcdef"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (build{version: c.version}).number(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNothingIsMadeOfNothing(t *testing.T) {
	if err := (build{out: t.TempDir()}).run(); err == nil {
		t.Error("a build without inputs, version and time is accepted")
	}
	b := ready(t)
	b.arches = []string{"riscv64"}
	if err := b.run(); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("got %v, want the architecture that was not built", err)
	}
}
