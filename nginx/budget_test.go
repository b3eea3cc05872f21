package nginx

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBudgetConvergesFastAndThenGoesQuiet(t *testing.T) {
	now := time.Unix(1e9, 0)
	b := &Budget{MaxGenerations: -1}
	allowed := 0
	for range 600 { // 10 minutes, asked every second
		if b.allow(now, 0, false) == nil {
			b.spend(now)
			allowed++
		}
		now = now.Add(time.Second)
	}
	// Six at first, at least 2 s apart, and one more per 30 s.
	if allowed != 6+599/30 {
		t.Errorf("got %d reloads in 10 min, want 25", allowed)
	}
	now = now.Add(-10 * time.Second)
	err := b.allow(now, 0, false)
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "budget is used up") || refusal.RetryAfter <= 0 ||
		refusal.RetryAfter > 30*time.Second {
		t.Errorf("got %v, want a refusal to be retried within 30 s", err)
	}
	if err := b.allow(now, 0, true); err != nil {
		t.Errorf("asked for by a person: got %v", err)
	}
	b = &Budget{MaxGenerations: -1}
	b.spend(now)
	if err := b.allow(now.Add(1900*time.Millisecond), 0, false); !errors.As(err, &refusal) ||
		refusal.RetryAfter != 100*time.Millisecond {
		t.Errorf("1.9 s after a reload: got %v, want to wait 100 ms", err)
	}
}

// fakeMaster starts a process with so many children that call themselves draining workers of NGINX.
func fakeMaster(t *testing.T, draining int) int {
	t.Helper()
	cmd := exec.Command("bash", "-c", `for i in $(seq "$0"); do (exec -a "nginx: worker process is shutting down" sleep 600) & done; wait`, strconv.Itoa(draining))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	waitFor(t, "the workers", func() bool {
		l, err := ReadLoad(cmd.Process.Pid)
		return err == nil && l.Draining == draining
	})
	return cmd.Process.Pid
}

func TestFortyDrainingWorkersHoldTheNextReload(t *testing.T) {
	pid := fakeMaster(t, 40)
	now := time.Unix(1e9, 0)
	var refusal *Refusal
	for _, tt := range []struct {
		what string
		b    *Budget
		why  string
	}{
		{"at most 16 workers", &Budget{MaxGenerations: -1, MaxDraining: 16}, "40 draining workers live, at " +
			"most 16 may"},
		{"at most 1 MiB", &Budget{MaxGenerations: -1, MaxMemoryBytes: 1 << 20}, "at most 1 MiB may be used"},
	} {
		if err := tt.b.allow(now, pid, false); !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, tt.why) ||
			refusal.RetryAfter <= 0 {
			t.Errorf("%s: got %v, want a refusal that says %q", tt.what, err, tt.why)
		}
	}
	if err := (&Budget{MaxGenerations: -1, MaxDraining: 40}).allow(now, pid, false); err != nil {
		t.Errorf("at most 40 workers: got %v", err)
	}
	// They started together: one generation.
	if l, err := ReadLoad(pid); err != nil || l.Generations > 2 || l.MemoryBytes < 40*(64<<10) {
		t.Errorf("got %+v, %v, want one generation and some memory", l, err)
	}
}

// With a real NGINX: each reload leaves one worker draining, because a request is under way on it.
func TestDrainingGenerationsHoldTheNextReload(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.Budget = &Budget{Interval: -1, MaxGenerations: 2}
	for i := range 3 {
		conn, err := net.Dial("tcp", b.front)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The head of a request whose body never comes keeps the worker.
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: "+
			"100-continue\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 64)); err != nil { // 100 Continue: it is the worker's now
			t.Fatal(err)
		}
		// Generations are told apart by when they started.
		started := time.Now()
		waitFor(t, "a second to pass", func() bool { return time.Since(started) > 600*time.Millisecond })
		if _, err := a.Apply(t.Context(), b.want(3+i, 5)); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
	}
	r, err := a.Apply(t.Context(), b.want(9, 5))
	refused(t, r, err, "3 generations of draining workers live, at most 2 may")
	if l, err := ReadLoad(b.PID); err != nil || l.Workers != 1 || l.Draining != 3 {
		t.Errorf("got %+v, %v, want 1 worker and 3 that drain", l, err)
	}
}

func TestBackupsArePruned(t *testing.T) {
	a := &Applier{StateDir: t.TempDir()}
	var needed journal
	for i := range keptBackups + 10 {
		data := []byte(strconv.Itoa(i))
		path, err := a.keep(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Unix(int64(i), 0)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			needed.Files = []journalFile{{Old: hashOf(data), New: hashOf(data)}}
		}
	}
	a.prune(&needed)
	left, err := filepath.Glob(filepath.Join(a.StateDir, "files", "*"))
	if err != nil || len(left) != keptBackups+1 {
		t.Errorf("got %d backups, %v, want %d", len(left), err, keptBackups+1)
	}
	if _, err := a.kept(hashOf([]byte("0"))); err != nil {
		t.Errorf("the oldest is needed by a journal: %v", err)
	}
	if _, err := a.kept(hashOf([]byte("1"))); err == nil {
		t.Error("the oldest that nobody needs is still there")
	}
	write(t, a.backupPath(hashOf([]byte("0"))), "tampered")
	if _, err := a.kept(hashOf([]byte("0"))); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged backup: got %v", err)
	}
}
