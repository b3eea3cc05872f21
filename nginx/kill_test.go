package nginx

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// killed is what the parent tells the process that dies.
type killed struct {
	Config, StateDir, Binary, Prefix string

	Want     Settings
	At       int    // the step before which the process kills itself
	AtOp     string // if not empty: at the first step of that name
	Recovery bool   // the recovery is what is killed, not a change
	NoNGINX  bool   // files only
}

// TestKilledProcess is the process that dies: it changes weights and sends itself SIGKILL before one step. It prints
// the step it dies at, or how many steps there were.
func TestKilledProcess(t *testing.T) {
	text := os.Getenv("TRIMTAB_TEST_KILLED")
	if text == "" {
		t.Skip("only started by TestKillBetweenEveryTwoSteps")
	}
	var k killed
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(err)
	}
	a, steps := &Applier{Config: k.Config, StateDir: k.StateDir, Binary: k.Binary, Prefix: k.Prefix}, 0
	a.NoReload = k.NoNGINX
	a.intercept = func(s step, f func() error) error {
		if k.AtOp == "" && steps == k.At || k.AtOp != "" && k.AtOp == s.op {
			fmt.Printf("step %d: %s\n", steps, s.op)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		steps++
		if k.NoNGINX && s.op == "nginx -t" {
			return nil
		}
		return f()
	}
	var err error
	if k.Recovery {
		_, err = a.Recover(context.Background())
	} else {
		_, err = a.Apply(context.Background(), k.Want)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("steps %d\n", steps)
}

// runKilled starts the process that dies and reports at which operation it did, or that it came to the end.
func runKilled(t *testing.T, k killed) (op string, ended bool) {
	t.Helper()
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), "TRIMTAB_TEST_KILLED="+string(text))
	out, err := cmd.CombinedOutput()
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "steps "); ok {
			if n, convErr := strconv.Atoi(rest); convErr == nil && err == nil && k.AtOp == "" && n <= k.At {
				return "", true
			}
		}
		if _, rest, ok := strings.Cut(s.Text(), ": "); ok && strings.HasPrefix(s.Text(), "step ") {
			op = rest
		}
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() ||
		status.Signal() != syscall.SIGKILL {
		t.Fatalf("step %d: the process was to be killed, but: %v: %s", k.At, err, out)
	}
	return op, false
}

// kill -9 between every two steps: the file is the old or the new one, NGINX serves, and the next start puts the file,
// the running weights and the state folder in order.
func TestKillBetweenEveryTwoSteps(t *testing.T) {
	b := newBed(t, "")
	deaths := map[string]int{}
	for at := 0; ; at++ {
		a := b.applier(t)
		op, ended := runKilled(t, killed{Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix,
			Want: b.want(3, 5), At: at})
		text := b.read(t)
		if text != b.text(1, 2) && text != b.text(3, 5) {
			t.Fatalf("killed at step %d, %s: neither the old nor the new file:\n%s", at, op, text)
		}
		if ended {
			if text != b.text(3, 5) {
				t.Fatalf("not killed, but the file is\n%s", text)
			}
			break
		}
		deaths[op]++
		pending, err := a.Pending()
		if err != nil {
			t.Fatal(err)
		}
		if !pending && text == b.text(1, 2) {
			continue // nothing had begun, and there is nothing to put in order
		}
		if text == b.text(3, 5) && deaths["exchange"] == 0 {
			t.Errorf("killed at step %d, %s: the new file is there too early", at, op)
		}
		b.passes(t)
		rec, err := a.Recover(t.Context())
		if err != nil {
			t.Fatalf("killed at step %d, %s: recover: %v", at, op, err)
		}
		wa, wb := 1, 2
		if closed := deaths["close journal"] > 0 && op != "close journal"; closed {
			wa, wb = 3, 5
			if rec != nil {
				t.Errorf("killed at step %d, %s: the change was complete, but the recovery undid %+v", at, op, rec)
			}
		}
		if got := b.read(t); got != b.text(wa, wb) {
			t.Fatalf("killed at step %d, %s: after the recovery:\n%s", at, op, got)
		}
		if !b.inForce(t, wa, wb) {
			t.Errorf("killed at step %d, %s: NGINX does not run the weights of the file (recovery %+v)", at, op, rec)
		}
		if left := leftovers(t, b.Dir); len(left) > 0 && rec != nil {
			t.Errorf("killed at step %d, %s: left over after the recovery: %v", at, op, left)
		}
		if _, err := a.Apply(t.Context(), b.want(2, 7)); err != nil {
			t.Fatalf("killed at step %d, %s: the next change: %v", at, op, err)
		}
		if left := leftovers(t, b.Dir); len(left) > 0 {
			t.Errorf("killed at step %d, %s: left over after the next change: %v", at, op, left)
		}
		b.startOver(t, a)
		if t.Failed() {
			t.FailNow()
		}
	}
	for _, op := range []string{"exchange", "send HUP", "confirm", "close journal"} {
		if deaths[op] == 0 {
			t.Errorf("never killed before %q: %v", op, deaths)
		}
	}
	t.Logf("killed before %v", deaths)
}

// The recovery itself is killed between every two of its steps, after a change that was killed when the new file was
// live: the recovery after that one finishes the work.
func TestKillTheRecoveryBetweenEveryTwoSteps(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "nginx.conf")
	old := "events {}\nhttp { upstream u { server 127.0.0.1:1; server 127.0.0.1:2 weight=2; } }\n"
	k := killed{Config: path, NoNGINX: true,
		Want: Settings{"u": {"127.0.0.1:1": {Weight: 3}, "127.0.0.1:2": {Weight: 5}}}}
	for at := 0; ; at++ {
		if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
			t.Fatal(err)
		}
		k.StateDir = filepath.Join(memoryDir(t), "s")
		k.AtOp, k.Recovery = "close journal", false
		if op, _ := runKilled(t, k); op != k.AtOp {
			t.Fatalf("got killed at %q, want at %q", op, k.AtOp)
		}
		if live, err := os.ReadFile(path); err != nil || string(live) == old {
			t.Fatalf("the new file is not live: %v", err)
		}
		if at%2 == 1 { // as if the folder had lost the old file: the backup has to serve
			for _, name := range leftovers(t, dir) {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		k.At, k.AtOp, k.Recovery = at/2, "", true
		op, ended := runKilled(t, k)
		a := &Applier{Config: path, StateDir: k.StateDir, NoReload: true}
		if _, err := a.Recover(t.Context()); err != nil {
			t.Fatalf("killed at step %d, %s: recover: %v", k.At, op, err)
		}
		if live, err := os.ReadFile(path); err != nil || string(live) != old {
			t.Fatalf("killed at step %d, %s: after the second recovery the file is %q, %v", k.At, op, live, err)
		}
		a.intercept = func(s step, f func() error) error {
			if s.op == "nginx -t" {
				return nil
			}
			return f()
		}
		if _, err := a.Apply(t.Context(), k.Want); err != nil {
			t.Fatalf("killed at step %d, %s: the next change: %v", k.At, op, err)
		}
		if left := leftovers(t, dir); len(left) > 0 {
			t.Fatalf("killed at step %d, %s: left over %v", k.At, op, left)
		}
		if ended && at%2 == 1 {
			if k.At < 8 {
				t.Errorf("the recovery has only %d steps", k.At)
			}
			return
		}
	}
}

// startOver brings the file and NGINX back to the first weights.
func (b *bed) startOver(t *testing.T, a *Applier) {
	t.Helper()
	if _, err := a.Apply(t.Context(), b.want(1, 2)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Config, b.old, 0o644); err != nil {
		t.Fatal(err)
	}
}
