package nginx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Links mean what they mean in the container: none leads to a file of the machine.
func TestFilesOfAContainerAreItsOwn(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	for path, text := range map[string]string{outside: "the machine's", filepath.Join(root, "etc",
		"own"): "the container's"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"absolute": "/etc/own", "relative": "../etc/own", "beyond the root": "../../../../../etc/own", "out": outside,
		"process": "/proc/self/root/etc/own",
	} {
		if err := os.Symlink(to, filepath.Join(root, "etc", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, want string }{
		{"own", "the container's"}, {"absolute", "the container's"}, {"relative", "the container's"},
		{"beyond the root", "the container's"}, {"out", ""}, {"process", ""}, {"missing", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := openIn(root, "/etc/"+c.name)
			got := ""
			if err == nil {
				defer f.Close()
				text, _ := io.ReadAll(f)
				got = string(text)
			}
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestPathsOfContainers(t *testing.T) {
	for path, want := range map[string]string{
		"/proc/4711/root/etc/nginx/nginx.conf": "/proc/4711/root", "/proc/*/root/etc/nginx/nginx.conf": "/proc/*/root",
		"/etc/nginx/nginx.conf": "", "/proc/self/root/etc/nginx/nginx.conf": "", "/proc/4711/rootless/x": "",
	} {
		if root, inside := splitContained(path); root != want || root+inside != path {
			t.Errorf("%s: got %q and %q, want %q", path, root, inside, want)
		}
	}
	if _, err := ReadConfig("/proc/*/root/nonexistent/nginx.conf"); err == nil || !strings.Contains(err.Error(),
		"is the container up") {
		t.Errorf("nobody has it: got %v", err)
	}
	path := fmt.Sprintf("/proc/%d/root%s", os.Getpid(), filepath.Join(t.TempDir(), "nginx.conf"))
	if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: got %v", err)
	}
}

// Includes, absolute ones too, are the container's.
func TestIncludesOfAContainer(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("one.conf", "upstream one { server 10.0.0.1; }")
	write("two.conf", "upstream two { ip_hash; server 10.0.0.2; }")
	main := write("nginx.conf", "http { include one.conf; include "+dir+"/t*.conf; }")
	root := fmt.Sprintf("/proc/%d/root", os.Getpid())
	cfg, err := ReadConfig(root + main)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Root != root || len(cfg.Upstreams) != 2 || cfg.Upstreams[1].Method != "ip_hash" {
		t.Errorf("got root %q and %d upstreams", cfg.Root, len(cfg.Upstreams))
	}
	for _, f := range cfg.Files {
		if !strings.HasPrefix(f.Path, root+"/") {
			t.Errorf("%s is not read in the container", f.Path)
		}
	}
}
