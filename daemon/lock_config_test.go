package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOneDaemonPerConfiguration(t *testing.T) {
	dir := t.TempDir()
	conf, link, other := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "link.conf"),
		filepath.Join(dir, "other.conf")
	for _, path := range []string{conf, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(conf, link); err != nil {
		t.Fatal(err)
	}
	release, err := lockConfiguration(conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, config string
		free         bool
	}{{"the same file", conf, false}, {"a link to it", link, false}, {"another file", other, true}} {
		again, err := lockConfiguration(c.config)
		if (err == nil) != c.free || err != nil && !strings.Contains(err.Error(), "another trimtab tune (process ") {
			t.Errorf("%s: got %v, want it free: %t", c.name, err, c.free)
		}
		if err == nil {
			again()
		}
	}
	release()
	again, err := lockConfiguration(conf)
	if err != nil {
		t.Fatalf("got %v after the first has ended, want the lock", err)
	}
	again()
}
