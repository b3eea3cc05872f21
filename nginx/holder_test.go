package nginx

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFlockHolders(t *testing.T) {
	const table = `1: FLOCK  ADVISORY  WRITE 101 08:01:5678 0 EOF
1: -> FLOCK  ADVISORY  WRITE 102 08:01:5678 0 EOF
2: POSIX  ADVISORY  WRITE 103 08:01:5678 0 EOF
3: FLOCK  ADVISORY  READ  104 08:01:5678 0 EOF
4: FLOCK  ADVISORY  WRITE 105 08:02:5678 0 EOF
nonsense
`
	if got := flockHolders(strings.NewReader(table), 8, 1, 5678); !slices.Equal(got, []int{101, 104}) {
		t.Errorf("got %v, want 101 and 104: those that hold a flock on this file", got)
	}
}

// Another user of the machine who locks the folder of the configuration does not keep Trimtab from changing it; root
// does.
func TestLockOfAnotherUser(t *testing.T) {
	flock, err := exec.LookPath("flock")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("it takes root and flock(1)")
	}
	for _, c := range []struct {
		name string
		uid  uint32
		held bool
	}{{"nobody", 65534, false}, {"root", 0, true}} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "trimtab-lock-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "nginx.conf")
			write(t, path, "http { upstream u { server 10.0.0.1; server 10.0.0.2; } }\n")
			// In a group of its own: flock(1) runs a program that holds the lock after it.
			cmd := exec.Command(flock, dir, "sh", "-c", "echo held; sleep 600")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: c.uid,
				Gid: c.uid}}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
			if _, err := out.Read(make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
			a := &Applier{Config: path, StateDir: filepath.Join(t.TempDir(), "state"), NoReload: true,
				LockWait: 200 * time.Millisecond,
				Binary:   "/bin/true", Prefix: dir}
			_, err = a.Apply(t.Context(), Settings{"u": {"10.0.0.1:80": w(2)}})
			refusal := (*Refusal)(nil)
			if held := errors.As(err, &refusal) && strings.Contains(err.Error(), "another trimtab"); held != c.held ||
				!held && err != nil {
				t.Errorf("got %v, want it held: %t", err, c.held)
			}
		})
	}
}
