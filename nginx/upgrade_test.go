package nginx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trimtab/nginx/instance"
)

// While the binary of a real NGINX is upgraded (USR2), two masters run: which of them a change is for is not known, so
// that it is refused, and made as soon as the first one has gone.
func TestTwoMastersOfAnUpgrade(t *testing.T) {
	binary, err := instance.Binary(t.Context())
	if errors.Is(err, instance.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	config, pidFile := filepath.Join(dir, "own.conf"), filepath.Join(dir, "nginx.pid")
	text := main + fmt.Sprintf("events {}\nhttp {\n%s upstream app { server 127.0.0.1:1; server 127.0.0.1:2; }\n"+
		" server { listen 127.0.0.1:%d; location / { proxy_pass http://app; } }\n}\n", instance.HTTPPaths(dir),
		ports[0])
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	master := func() int {
		text, _ := os.ReadFile(pidFile)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return pid
	}
	// A child of whoever starts it takes no USR2: it goes its own way, and is ended by its number.
	if out, err := exec.CommandContext(t.Context(), binary, "-c", config, "-p", dir).CombinedOutput(); err != nil {
		t.Fatalf("start nginx: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if pid := master(); pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
			waitFor(t, "the end of NGINX", func() bool { return syscall.Kill(pid, 0) != nil })
		}
	})
	waitFor(t, "a master", func() bool { return master() > 1 })
	first := master()
	a := &Applier{Config: config, StateDir: filepath.Join(dir, "state"), Binary: binary, Prefix: dir, PIDFile: pidFile}
	set := func(weight int) (Receipt, error) {
		return a.Apply(t.Context(), Settings{"app": {"127.0.0.1:1": {Weight: weight}, "127.0.0.1:2": {Weight: 1}}})
	}
	if _, err := set(2); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a second master", func() bool {
		_, err := os.Stat(pidFile + ".oldbin")
		return err == nil && master() > 1 && master() != first
	})
	r, err := set(3)
	refused(t, r, err, "upgrade of NGINX is under way")
	if err := syscall.Kill(first, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of the first master", func() bool { return syscall.Kill(first, 0) != nil })
	if r, err := set(4); err != nil || !r.Reloaded {
		t.Errorf("after the upgrade: got %+v, %v, want the change in force", r, err)
	}
}
