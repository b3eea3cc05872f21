package instance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// need skips the test when NGINX is not installed; make test installs it first, so that it runs there and in CI.
func need(t *testing.T) {
	t.Helper()
	if _, err := Binary(t.Context()); errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
}

func config(t *testing.T, dir string, port int) string {
	t.Helper()
	main, err := Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	return main + fmt.Sprintf("events {}\nhttp {\n%s    server { listen 127.0.0.1:%d; location / { return 200 "+
		"up; } }\n}\n", HTTPPaths(dir), port)
}

func TestInstanceServesAndStops(t *testing.T) {
	need(t)
	dir := t.TempDir()
	ports, err := FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	i, err := Start(t.Context(), dir, config(t, dir, ports[0]), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Stop()
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "up" {
		t.Errorf("got body %q, want %q", body, "up")
	}
	i.Stop()
	if err := syscall.Kill(i.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("master %d after Stop: got %v, want no such process", i.PID, err)
	}
}

func TestFreePortsAreNoneThatAConnectionMayTake(t *testing.T) {
	ports, err := FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if p >= 32768 || p < 1024 || seen[p] {
			t.Errorf("got %d, want ports below 32768, all different", p)
		}
		seen[p] = true
	}
}

func TestStartSaysWhyItFails(t *testing.T) {
	need(t)
	t.Run("a port that is taken", func(t *testing.T) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dir := t.TempDir()
		_, err = Start(t.Context(), dir, config(t, dir, l.Addr().(*net.TCPAddr).Port), l.Addr().String())
		if err == nil || !strings.Contains(err.Error(), "Address already in use") {
			t.Errorf("got %v, want an error that names the taken address", err)
		}
	})
	t.Run("a configuration that NGINX refuses", func(t *testing.T) {
		dir := t.TempDir()
		main, err := Prepare(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Start(t.Context(), dir, main+"events {}\nhttp { nonsense on; }\n")
		if err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("got %v, want an error that names the directive", err)
		}
	})
	t.Run("an old NGINX", func(t *testing.T) {
		fake := t.TempDir() + "/nginx"
		if err := os.WriteFile(fake, []byte("#!/bin/sh\necho 'nginx version: nginx/1.10.3' >&2\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TRIMTAB_NGINX", fake)
		if _, err := Binary(t.Context()); err == nil || !strings.Contains(err.Error(), "1.18.0 or newer") {
			t.Errorf("got %v, want an error that names the oldest version", err)
		}
	})
	t.Run("no NGINX", func(t *testing.T) {
		t.Setenv("TRIMTAB_NGINX", "/nonexistent/nginx")
		if _, err := Binary(t.Context()); !errors.Is(err, ErrMissing) {
			t.Errorf("got %v, want ErrMissing", err)
		}
	})
}
