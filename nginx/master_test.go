package nginx

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func refused(t *testing.T, r Receipt, err error, why ...string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) || r.Changed {
		t.Fatalf("got %+v, %v, want a refusal", r, err)
	}
	for _, w := range why {
		if !strings.Contains(refusal.Reason, w) || !strings.Contains(r.Refused, w) {
			t.Errorf("got reason %q, want it to say %q", refusal.Reason, w)
		}
	}
}

func TestNoMasterToReload(t *testing.T) {
	b := newBed(t, "")
	write := func(text string) {
		if err := os.WriteFile(b.PIDFile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = sleep.Wait(); close(ended) }()
	defer func() { _ = sleep.Process.Kill(); <-ended }()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ what, pid, why string }{
		{"an empty pid file", "", "holds"},
		{"a pid file with nonsense", "nginx\n", "holds"},
		{"a pid file that is stale", fmt.Sprintln(gone.Process.Pid), "has gone"},
		{"a pid that another program has now", fmt.Sprintln(sleep.Process.Pid), "not an NGINX master"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			write(tt.pid)
			r, err := b.applier(t).Apply(t.Context(), b.want(3, 5))
			refused(t, r, err, tt.why)
			if b.read(t) != string(b.old) {
				t.Error("the file was changed")
			}
		})
	}
	select {
	case <-ended:
		t.Error("the other program was signalled")
	default:
	}
	t.Run("a master that runs another configuration", func(t *testing.T) {
		write(fmt.Sprintln(b.PID))
		other := filepath.Join(t.TempDir(), "nginx.conf")
		if err := os.WriteFile(other, b.old, 0o644); err != nil {
			t.Fatal(err)
		}
		a := b.applier(t)
		a.Config = other
		r, err := a.Apply(t.Context(), b.want(3, 5))
		refused(t, r, err, "runs "+b.Config)
	})
	t.Run("two masters during an upgrade of the binary", func(t *testing.T) {
		write(fmt.Sprintln(b.PID))
		if err := os.WriteFile(b.PIDFile()+".oldbin", []byte(fmt.Sprintln(b.PID)), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := b.applier(t).Apply(t.Context(), b.want(3, 5))
		refused(t, r, err, "upgrade of NGINX is under way")
		if err := os.Remove(b.PIDFile() + ".oldbin"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a master that has stopped", func(t *testing.T) {
		write(fmt.Sprintln(b.PID))
		b.Stop()
		r, err := b.applier(t).Apply(t.Context(), b.want(3, 5))
		refused(t, r, err, "no running NGINX master")
	})
}

// The master dies between the write and the signal: the old file is back, and nothing else can be done.
func TestMasterGoneBeforeTheSignal(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.intercept = at("send HUP", 1, b.Stop)
	_, err := a.Apply(t.Context(), b.want(3, 5))
	var rollback *RollbackError
	if !errors.As(err, &rollback) || rollback.Restore != nil {
		t.Errorf("got %v, want a change that was rolled back", err)
	}
	if b.read(t) != string(b.old) {
		t.Errorf("got file\n%s\nwant the old one", b.read(t))
	}
}

// nginx -t passes and the signal is sent, but the master cannot bind a port and keeps its old configuration.
func TestMasterRefusesToReload(t *testing.T) {
	b := newBed(t, "")
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	operators := strings.Replace(string(b.old), "access_log off;",
		"access_log off; server { listen "+taken.Addr().String()+"; }", 1)
	if err := os.WriteFile(b.Config, []byte(operators), 0o644); err != nil {
		t.Fatal(err)
	}
	a := b.applier(t)
	a.ConfirmTimeout = time.Second // NGINX tries to bind for 2.5 s and logs the first attempt at once
	r, err := a.Apply(t.Context(), b.want(3, 5))
	var rollback *RollbackError
	if !errors.As(err, &rollback) || rollback.Restore != nil || r.Reloaded || r.Changed {
		t.Fatalf("got %+v, %v, want a change that was rolled back", r, err)
	}
	if !strings.Contains(err.Error(), "bind()") || !strings.Contains(err.Error(), "Address already in use") {
		t.Errorf("got %v, want it to say what NGINX wrote to its error log", err)
	}
	if b.read(t) != operators {
		t.Errorf("got file\n%s\nwant the operator's", b.read(t))
	}
	if !b.inForce(t, 1, 2) {
		t.Error("NGINX does not run the old weights")
	}
	// The circuit breaker holds the next change, also in another process, until someone closes it or time has passed.
	taken.Close()
	r, err = a.Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "had to be taken back", "bind()")
	again := b.applier(t)
	again.StateDir = a.StateDir
	again.Clock = func() time.Time { return time.Now().Add(2 * breakerPause) }
	if _, err := again.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatalf("after the pause: %v", err)
	}
	if breaker, err := a.Breaker(); err != nil || breaker.Failures != 0 {
		t.Errorf("got breaker %+v, %v, want it closed by a confirmed change", breaker, err)
	}
}

func TestBreakerPausesLongerEachTime(t *testing.T) {
	now := time.Unix(1e9, 0)
	a := &Applier{Config: "/c", StateDir: t.TempDir(), Clock: func() time.Time { return now }}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if err := a.trip(errors.New("x")); err != nil {
			t.Fatal(err)
		}
		b, err := a.Breaker()
		if err != nil || b.Until.Sub(now) != want*time.Minute {
			t.Errorf("got a pause of %s, %v, want %d min", b.Until.Sub(now), err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(a.StateDir, breakerName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := a.Breaker(); err != nil || !b.Open(now) {
		t.Errorf("a damaged record: got %+v, %v, want an open breaker", b, err)
	}
}

// A worker that started before the signal is no proof of a reload, even if it had no title yet when they were counted.
func TestWorkerFromBeforeTheSignalProvesNothing(t *testing.T) {
	b := newBed(t, "")
	c := confirmation{master: b.PID, sentTicks: bootTicks() + 1}
	if err := c.newWorkers(t.Context()); err == nil || !strings.Contains(err.Error(), "still serves") {
		t.Errorf("got %v, want it to say that the old worker still serves", err)
	}
	c.sentTicks = 0
	if err := c.newWorkers(t.Context()); err != nil {
		t.Errorf("a worker from after the signal: got %v", err)
	}
}

func TestChildrenByEitherWay(t *testing.T) {
	b := newBed(t, "")
	listed, err := children(b.PID)
	if err != nil {
		t.Fatal(err)
	}
	scanned, err := childrenByScan(b.PID)
	if err != nil || len(listed) == 0 || !slices.Equal(listed, scanned) {
		t.Errorf("got %v by the kernel's list and %v, %v by a scan, want the same", listed, scanned, err)
	}
}

// fakeNGINX is an nginx -t that answers as the script says; $conf is the path of the configuration.
func fakeNGINX(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nginx")
	text := "#!/bin/sh\nwhile [ \"$1\" != -c ]; do shift; done\nconf=$2\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCandidateRefused(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	// It sees the candidate under the live name, which no other process does.
	a.Binary = fakeNGINX(t, `if grep -q weight=5 "$conf"; then echo "nginx: [emerg] 5 is too heavy in $conf:9" >&2; exit 1; fi`)
	r, err := a.Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "NGINX does not accept the change: 5 is too heavy")
	if b.read(t) != string(b.old) || len(leftovers(t, b.Dir)) > 0 {
		t.Error("the file was touched")
	}
	if _, err := a.Apply(t.Context(), b.want(3, 7)); err != nil {
		t.Errorf("another weight: %v", err)
	}
}

func TestConfigAlreadyInvalid(t *testing.T) {
	b := newBed(t, "")
	broken := strings.Replace(string(b.old), "access_log off;", "access_log off; nonsense on;", 1)
	if err := os.WriteFile(b.Config, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := b.applier(t).Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "invalid as it stands", "nonsense")
	if b.read(t) != broken {
		t.Error("the file was changed")
	}
}

// A sandbox without a folder that NGINX writes to, and a configuration that is sound: the refusal says which of the two
// it is.
func TestSandboxTooNarrow(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	a.Binary = fakeNGINX(t, `echo 'nginx: [emerg] open() "/srv/log/a.log" failed (30: Read-only file system)' >&2; exit 1`)
	r, err := a.Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "as this process runs it", "/srv/log/a.log", "ReadWritePaths")
	if strings.Contains(r.Refused, "invalid") {
		t.Errorf("got %q, which blames the configuration", r.Refused)
	}
}

func TestNGINXTestHangs(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	pids := filepath.Join(t.TempDir(), "pids")
	a.Binary = fakeNGINX(t, "echo $$ >> "+pids+"; sleep 600 & echo $! >> "+pids+"; wait")
	a.TestTimeout = 300 * time.Millisecond
	r, err := a.Apply(t.Context(), b.want(3, 5))
	refused(t, r, err, "nginx -t did not end within 300ms")
	if b.read(t) != string(b.old) {
		t.Error("the file was changed")
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Skip("the machine is too slow for the script to start")
	}
	for _, field := range strings.Fields(string(text)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "process "+field+" to end", func() bool {
			title, err := processTitle(pid) // empty: a zombie that init has not reaped yet
			return err != nil && errors.Is(err, os.ErrNotExist) || title == "" || syscall.Kill(pid, 0) != nil
		})
	}
}

// Without the right to a private mount namespace the candidate is tested in its place and taken back when refused.
func TestWithoutMountNamespace(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	first := true
	a.intercept = func(s step, f func() error) error {
		if s.op == "nginx -t" && first {
			first = false
			return fmt.Errorf("%w: unshare: operation not permitted", errNoNamespace)
		}
		return f()
	}
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	if b.read(t) != b.text(3, 5) || !b.inForce(t, 3, 5) {
		t.Error("the change is not in force")
	}
	first = true
	a.Binary = fakeNGINX(t, `if grep -q weight=7 "$conf"; then echo "nginx: [emerg] 7 is too heavy" >&2; exit 1; fi`)
	r, err := a.Apply(t.Context(), b.want(3, 7))
	refused(t, r, err, "7 is too heavy")
	if b.read(t) != b.text(3, 5) || !b.inForce(t, 3, 5) || len(leftovers(t, b.Dir)) > 0 {
		t.Error("the refused candidate was not taken back")
	}
}

// waitFor polls until the condition holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
