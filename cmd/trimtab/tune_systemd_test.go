package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd is told when the daemon is ready, reloads and ends; the watchdog is answered although the interval is an
// hour.
func TestE2EDaemonTellsSystemd(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	config := filepath.Join(dir, "trimtab.toml")
	text := fmt.Sprintf("interval = \"1h\"\nstate_dir = %q\nlisten = \"\"\n[status]\nurl = "+
		"\"http://127.0.0.1:1/\"\nstale_after = \"1h\"\n[nginx]\nconfig = %q\n",
		filepath.Join(dir, "state"), filepath.Join(dir, "nginx.conf"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "tune", "--config", config)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket.LocalAddr().String(), "WATCHDOG_USEC=300000")
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	expect := func(want string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("waited two minutes for %s: %v", want, err)
			}
			got := string(buf[:n])
			if strings.HasPrefix(got, want) {
				return
			}
			if got != "WATCHDOG=1" && !strings.HasPrefix(got, "WATCHDOG_USEC=") {
				t.Fatalf("got %q, want %s", got, want)
			}
		}
	}
	expect("WATCHDOG_USEC=") // a step may wait an hour for telemetry, the unit's limit is shorter
	expect("READY=1")
	expect("WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1")
	expect("READY=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended: %v", err)
	}
}
