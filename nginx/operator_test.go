package nginx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// at runs do before the n-th step of that name (from 1), and lets every step through.
func at(op string, n int, do func()) func(step, func() error) error {
	seen := 0
	return func(s step, f func() error) error {
		if s.op == op {
			if seen++; seen == n {
				do()
			}
		}
		return f()
	}
}

// edited is the file with an operator's edit: a comment and another server's weight.
func edited(text string, i int) string { return fmt.Sprintf("# edit %d\n%s", i, text) }

func TestOperatorSavesDuringAChange(t *testing.T) {
	inPlace := func(t *testing.T, path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	byRename := func(t *testing.T, path, text string) {
		inPlace(t, path+"~", text)
		if err := os.Rename(path+"~", path); err != nil {
			t.Error(err)
		}
	}
	b := newBed(t, "")
	for _, save := range []struct {
		how string
		do  func(t *testing.T, path, text string)
	}{{"in place", inPlace}, {"by renaming", byRename}} {
		for _, when := range []struct {
			what, op string
			n        int
		}{
			{"while NGINX tests the candidate", "nginx -t", 1},
			{"while the new file is being written", "fsync", 4},
			{"after the last look at the file, before the exchange", "exchange", 1},
		} {
			t.Run(save.how+" "+when.what, func(t *testing.T) {
				inPlace(t, b.Config, string(b.old))
				a := b.applier(t)
				saved := false
				a.intercept = at(when.op, when.n, func() {
					saved = true
					save.do(t, b.Config, edited(string(b.old), 1))
				})
				r, err := a.Apply(t.Context(), b.want(3, 5))
				if err != nil || !saved {
					t.Fatalf("got %v (saved %t)", err, saved)
				}
				if got, want := b.read(t), edited(b.text(3, 5), 1); got != want {
					t.Errorf("got file\n%s\nwant the edit kept and the weights set\n%s", got, want)
				}
				if !strings.Contains(strings.Join(r.Notes, " "), "changed by someone else") {
					t.Errorf("got notes %q, want one that tells of the edit", r.Notes)
				}
				if left := leftovers(t, b.Dir); len(left) > 0 {
					t.Errorf("left over: %v", left)
				}
				if !b.inForce(t, 3, 5) {
					t.Error("the weights are not in force")
				}
			})
		}
	}
}

func TestOperatorSavesContinuously(t *testing.T) {
	b := newBed(t, "")
	a, saves := b.applier(t), 0
	a.intercept = func(s step, f func() error) error {
		if s.op == "nginx -t" || s.op == "exchange" {
			saves++
			if err := os.WriteFile(b.Config, []byte(edited(string(b.old), saves)), 0o644); err != nil {
				t.Error(err)
			}
		}
		return f()
	}
	r, err := a.Apply(t.Context(), b.want(3, 5))
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "keeps saving") || refusal.RetryAfter <= 0 ||
		r.Changed {
		t.Errorf("got %+v, %v, want a refusal that may be retried", r, err)
	}
	if got := b.read(t); got != edited(string(b.old), saves) {
		t.Errorf("got file\n%s\nwant the operator's last save", got)
	}
	if left := leftovers(t, b.Dir); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if pending, err := a.Pending(); err != nil || pending {
		t.Errorf("a journal is left: %v", err)
	}
}

// An editor that opened the file before the exchange and writes to it afterwards writes to the old file.
func TestOperatorWritesToTheOldFileAfterTheExchange(t *testing.T) {
	b := newBed(t, "")
	open, err := os.OpenFile(b.Config, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	want := edited(string(b.old), 1)
	a := b.applier(t)
	a.intercept = at("confirm", 1, func() {
		if _, err := open.WriteAt([]byte(want), 0); err != nil {
			t.Error(err)
		}
	})
	r, err := a.Apply(t.Context(), b.want(3, 5))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.read(t); got != want {
		t.Errorf("got file\n%s\nwant the operator's", got)
	}
	if len(r.Notes) == 0 || !strings.Contains(strings.Join(r.Notes, " "), "back in its place") {
		t.Errorf("got notes %q, want one that tells of it", r.Notes)
	}
}

// Another file of the configuration is saved after it was tested: what is loaded must be what was tested.
func TestOperatorSavesAnotherFile(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other.conf")
	if err := os.WriteFile(other, []byte("# nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBed(t, "    include "+other+";\n")
	a := b.applier(t)
	a.intercept = at("exchange", 1, func() {})
	a.intercept = at("nginx -t", 1, func() {
		if err := os.WriteFile(other, []byte("add_header X-Edited 1;\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
	r, err := a.Apply(t.Context(), b.want(3, 5))
	if err != nil || !strings.Contains(strings.Join(r.Notes, " "), other) {
		t.Errorf("got notes %q, %v, want the plan made again because of %s", r.Notes, err, other)
	}
	// A broken edit of it holds the change, and nothing is touched.
	before := b.read(t)
	a.intercept = at("nginx -t", 1, func() {
		if err := os.WriteFile(other, []byte("nonsense on;\n"), 0o644); err != nil {
			t.Error(err)
		}
	})
	_, err = a.Apply(t.Context(), b.want(1, 7))
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "invalid as it stands") ||
		!strings.Contains(refusal.Reason, "nonsense") {
		t.Errorf("got %v, want a refusal that names the operator's own fault", err)
	}
	if b.read(t) != before {
		t.Error("the file was changed")
	}
}

// SIGTERM arrives as a cancelled context. Up to the journal nothing has been changed; from there on the change is
// finished.
func TestCancelBeforeEachStep(t *testing.T) {
	b := newBed(t, "")
	var cancelled, finished int
	for k := 0; ; k++ {
		ctx, cancel := context.WithCancel(t.Context())
		a, n := b.applier(t), 0
		a.intercept = func(s step, f func() error) error {
			if n == k {
				cancel()
			}
			n++
			return f()
		}
		r, err := a.Apply(ctx, b.want(3, 5))
		cancel()
		text := b.read(t)
		switch {
		case err == nil && r.Reloaded && text == b.text(3, 5):
			finished++
		case errors.Is(err, context.Canceled) && !r.Changed && text == b.text(1, 2):
			cancelled++
		default:
			t.Fatalf("cancelled at step %d: got %+v, %v, file\n%s", k, r, err, text)
		}
		if left := leftovers(t, b.Dir); len(left) > 0 {
			t.Fatalf("cancelled at step %d: left over %v", k, left)
		}
		if pending, err := a.Pending(); err != nil || pending {
			t.Fatalf("cancelled at step %d: a journal is left: %v", k, err)
		}
		if err := os.WriteFile(b.Config, b.old, 0o644); err != nil {
			t.Fatal(err)
		}
		if n <= k {
			break
		}
	}
	if cancelled < 10 || finished < 10 {
		t.Errorf("%d changes were cancelled and %d finished, want both to happen", cancelled, finished)
	}
}

func TestTwoChangesAtOnce(t *testing.T) {
	b := newBed(t, "")
	first, second := b.applier(t), b.applier(t) // with state folders of their own
	second.LockWait = 1
	var inner error
	first.intercept = at("confirm", 1, func() {
		_, inner = second.Apply(t.Context(), b.want(7, 9))
	})
	if _, err := first.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	var refusal *Refusal
	if !errors.As(inner, &refusal) || !strings.Contains(refusal.Reason, "another trimtab") || refusal.RetryAfter <= 0 {
		t.Errorf("the second: got %v, want a refusal that may be retried", inner)
	}
	if b.read(t) != b.text(3, 5) {
		t.Errorf("got file\n%s", b.read(t))
	}
	// With patience each has its turn, and the last one stands.
	const n = 4
	done := make(chan error)
	for i := range n {
		a := b.applier(t)
		a.LockWait = 1 << 40
		go func() { _, err := a.Apply(context.Background(), b.want(10+i, 11)); done <- err }()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	cfg, err := ReadConfig(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	if wa, wb := cfg.Upstreams[0].Peers[0].Weight, cfg.Upstreams[0].Peers[1].Weight; !b.inForce(t, wa, wb) {
		t.Errorf("the file says %d and %d, but something else is in force", wa, wb)
	}
}
