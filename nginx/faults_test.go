package nginx

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// counter counts the steps of a pipeline and puts an error in the place of some.
type counter struct {
	steps []step
	fail  func(k int, s step) error // nil: nothing fails
}

func (c *counter) intercept(s step, f func() error) error {
	k := len(c.steps)
	c.steps = append(c.steps, s)
	if c.fail != nil {
		if err := c.fail(k, s); err != nil {
			return err
		}
	}
	return f()
}

// ops are the names of the steps, in order.
func (c *counter) ops() []string {
	var out []string
	for _, s := range c.steps {
		out = append(out, s.op)
	}
	return out
}

func TestStepsOfAChange(t *testing.T) {
	b := newBed(t, "")
	a, c := b.applier(t), &counter{}
	a.intercept = c.intercept
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, op := range c.ops() {
		if len(got) == 0 || got[len(got)-1] != op {
			got = append(got, op)
		}
	}
	// The order is the promise: test before journal, journal before exchange, exchange before HUP, HUP before the
	// journal is closed.
	at := -1
	for _, op := range []string{"lock", "read", "find master", "nginx -t", "rename", "copy attributes", "exchange",
		"fsync folder", "send HUP", "confirm", "remove", "close journal"} {
		next := slices.Index(got[at+1:], op)
		if next < 0 {
			t.Fatalf("got steps %v, want %q after step %d", got, op, at)
		}
		at += 1 + next
	}
	if b.read(t) != b.text(3, 5) || !b.inForce(t, 3, 5) {
		t.Errorf("the change is not in force; nginx.conf:\n%s", b.read(t))
	}
}

// outcome checks what must hold after any failed or interrupted change: the file is the old or the new one to the
// byte, NGINX accepts it, and once the fault has gone the next change clears everything away.
func (b *bed) outcome(t *testing.T, a *Applier, r Receipt, err error) {
	t.Helper()
	text := b.read(t)
	var rollback *RollbackError
	switch {
	case text != b.text(1, 2) && text != b.text(3, 5):
		t.Fatalf("neither the old nor the new file: %s", text)
	case err == nil && text != b.text(3, 5):
		t.Errorf("no error, but the file is the old one")
	case err != nil && !r.Changed && text != b.text(1, 2):
		t.Errorf("error %v and nothing changed, but the file is the new one", err)
	case errors.As(err, &rollback) && rollback.Restore == nil && text != b.text(1, 2):
		t.Errorf("rolled back (%v), but the file is the new one", err)
	}
	b.passes(t)
}

// reset brings the old weights back with the fault gone, and checks that nothing is left over.
func (b *bed) reset(t *testing.T, a *Applier) {
	t.Helper()
	a.intercept = nil
	if _, err := a.Recover(context.Background()); err != nil {
		t.Fatalf("recover with the fault gone: %v", err)
	}
	if pending, err := a.Pending(); err != nil || pending {
		t.Fatalf("a journal is left after the recovery: %v", err)
	}
	if err := a.CloseBreaker(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(context.Background(), b.want(1, 2)); err != nil {
		t.Fatalf("the next change: %v", err)
	}
	if got := b.read(t); got != b.text(1, 2) && got != strings.Replace(b.text(1, 2), b.a+";", b.a+" weight=1;", 1) {
		t.Fatalf("after the next change: %s", got)
	}
	if err := os.WriteFile(b.Config, b.old, 0o644); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, b.Dir); len(left) > 0 {
		t.Fatalf("left over: %v", left)
	}
}

// Each step in turn fails once, with a running NGINX.
func TestEachStepFailsOnceWithRealNGINX(t *testing.T) {
	b := newBed(t, "")
	errnos := []unix.Errno{unix.ENOSPC, unix.EIO, unix.EROFS}
	for k := 0; ; k++ {
		a := b.applier(t)
		c := &counter{fail: func(i int, s step) error {
			if i == k {
				return errnos[k%len(errnos)]
			}
			return nil
		}}
		a.intercept = c.intercept
		r, err := a.Apply(t.Context(), b.want(3, 5))
		if len(c.steps) <= k {
			if err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			if k < 30 {
				t.Fatalf("only %d steps were tried", k)
			}
			t.Logf("%d steps failed in turn", k)
			return
		}
		t.Logf("step %d, %s: %v", k, c.steps[k], err)
		b.outcome(t, a, r, err)
		if s := c.steps[k]; s.op == "send HUP" || s.op == "confirm" {
			var rollback *RollbackError
			if !errors.As(err, &rollback) || rollback.Restore != nil {
				t.Errorf("%s failed: got %v, want a change that was rolled back", s, err)
			}
			if breaker, err := a.Breaker(); err != nil || !breaker.Open(a.now()) {
				t.Errorf("%s failed: the circuit breaker is not open (%v)", s, err)
			}
		}
		b.reset(t, a)
		if t.Failed() {
			t.Fatalf("at step %d, %s", k, c.steps[k])
		}
	}
}

// Each file operation in turn fails with each error, once or from then on for good; NGINX is left out.
func TestDiskFailsAtEachStep(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "nginx.conf")
	old := "events {}\nhttp { upstream u { server 127.0.0.1:1; server 127.0.0.1:2 weight=2; } }\n"
	want := Settings{"u": {"127.0.0.1:1": {Weight: 3}, "127.0.0.1:2": {Weight: 5}}}
	now := strings.Replace(strings.Replace(old, ":1;", ":1 weight=3;", 1), "weight=2", "weight=5", 1)
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EIO, unix.EROFS} {
		for _, forGood := range []bool{false, true} {
			for k, steps := -1, 0; k < steps; k++ { // the run without a fault says how many steps there are
				if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
					t.Fatal(err)
				}
				a := &Applier{Config: path, StateDir: filepath.Join(memoryDir(t), "s"), NoReload: true}
				c := &counter{}
				c.fail = func(i int, s step) error {
					if i == k || forGood && k >= 0 && i > k && s.op != "read" && s.op != "nginx -t" {
						return errno
					}
					return nil
				}
				a.intercept = func(s step, f func() error) error {
					if s.op == "nginx -t" {
						f = func() error { return nil }
					}
					return c.intercept(s, f)
				}
				r, err := a.Apply(t.Context(), want)
				if k < 0 {
					steps = len(c.steps)
					if err != nil || steps < 30 {
						t.Fatalf("without a fault: %v after %d steps", err, steps)
					}
					continue
				}
				if k >= len(c.steps) {
					break
				}
				got, readErr := os.ReadFile(path)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if string(got) != old && string(got) != now {
					t.Fatalf("%v at step %d, %s (for good: %t): got file %q", errno, k, c.steps[k], forGood, got)
				}
				if err == nil && string(got) != now || err != nil && !r.Changed && !rollbackFailed(err) &&
					string(got) != old {
					t.Fatalf("%v at step %d, %s (for good: %t): got %v, but file %q", errno, k, c.steps[k], forGood,
						err, got)
				}
				// The disk is well again: what was unfinished is undone, and nothing is left over.
				a.intercept = func(s step, f func() error) error {
					if s.op == "nginx -t" {
						return nil
					}
					return f()
				}
				if _, err := a.Recover(t.Context()); err != nil {
					t.Fatalf("%v at step %d, %s (for good: %t): recover: %v", errno, k, c.steps[k], forGood, err)
				}
				again, readErr := os.ReadFile(path)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if string(again) != old && string(again) != now {
					t.Fatalf("%v at step %d, %s (for good: %t): got file %q after the recovery", errno, k, c.steps[k],
						forGood, again)
				}
				if err := a.CloseBreaker(); err != nil {
					t.Fatal(err)
				}
				if _, err := a.Apply(t.Context(), want); err != nil {
					t.Fatalf("%v at step %d, %s (for good: %t): the next change: %v", errno, k, c.steps[k], forGood,
						err)
				}
				if left := leftovers(t, dir); len(left) > 0 {
					t.Fatalf("%v at step %d, %s (for good: %t): left over %v", errno, k, c.steps[k], forGood, left)
				}
			}
		}
	}
}

func rollbackFailed(err error) bool {
	var rollback *RollbackError
	return errors.As(err, &rollback) && rollback.Restore != nil
}
