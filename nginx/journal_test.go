package nginx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournalThatCannotBeRead(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "nginx.conf")
	write(t, path, private(dir, "upstream u { server 127.0.0.1:1; server 127.0.0.1:2; }"))
	for what, text := range map[string]string{
		"truncated":     `{"schema":1,"phase":"rep`,
		"empty":         "",
		"of the future": `{"schema":99,"phase":"reload","config":"` + path + `"}`,
	} {
		t.Run(what, func(t *testing.T) {
			a := &Applier{Config: path, StateDir: filepath.Join(memoryDir(t), "s"), Binary: binaryOrSkip(t),
				Prefix: dir, NoReload: true}
			if err := os.Mkdir(a.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(a.StateDir, journalName), text)
			rec, err := a.Recover(t.Context())
			if err != nil || rec != nil {
				t.Errorf("got %+v, %v, want it put aside", rec, err)
			}
			aside, err := filepath.Glob(filepath.Join(a.StateDir, journalName+".unreadable-*"))
			if err != nil || len(aside) != 1 {
				t.Errorf("got %v, %v, want the journal kept for people", aside, err)
			}
			if _, err := a.Apply(t.Context(), u12); err != nil {
				t.Errorf("the next change: %v", err)
			}
			if _, err := a.Rollback(t.Context()); err != nil {
				t.Errorf("and its rollback: %v", err)
			}
		})
	}
}

func TestStateFolderOfAnotherConfiguration(t *testing.T) {
	dir := memoryDir(t)
	a := &Applier{StateDir: filepath.Join(dir, "s"), Binary: binaryOrSkip(t), Prefix: dir, NoReload: true}
	for i, name := range []string{"one.conf", "two.conf"} {
		a.Config = filepath.Join(dir, name)
		write(t, a.Config, private(dir, "upstream u { server 127.0.0.1:1; server 127.0.0.1:2; }"))
		r, err := a.Apply(t.Context(), u12)
		if i == 0 && err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			refused(t, r, err, "belongs to "+filepath.Join(dir, "one.conf"))
		}
	}
	a.Config, a.StateDir = filepath.Join(dir, "one.conf"), dir
	r, err := a.Apply(t.Context(), Settings{"u": {"127.0.0.1:1": {Weight: 9}}})
	refused(t, r, err, "holds files of the configuration")
}

func TestRollback(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	r, err := a.Rollback(t.Context())
	refused(t, r, err, "no change of "+b.Config+" is on record")
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][2]int{{1, 2}, {3, 5}, {1, 2}} { // undone, brought back, undone
		r, err := a.Rollback(t.Context())
		if err != nil || !r.Reloaded || r.Weights["u"][b.a].Weight != want[0] {
			t.Fatalf("got %+v, %v, want weights %v", r, err, want)
		}
		if b.read(t) != b.text(want[0], want[1]) || !b.inForce(t, want[0], want[1]) {
			t.Fatalf("got file\n%s\nwant weights %v", b.read(t), want)
		}
	}
	write(t, b.Config, edited(string(b.old), 1))
	r, err = a.Rollback(t.Context())
	refused(t, r, err, "was saved by someone", "undo it by hand")
	if !strings.HasPrefix(b.read(t), "# edit 1") {
		t.Error("the edit was overwritten")
	}
}

// A person rolls back what a crash has left: the unfinished change is undone, and the one before it stays.
func TestRollbackAfterACrash(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	if _, err := a.Apply(t.Context(), b.want(3, 5)); err != nil {
		t.Fatal(err)
	}
	if op, _ := runKilled(t, killed{Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix,
		Want: b.want(4, 9), AtOp: "confirm"}); op != "confirm" {
		t.Fatalf("got killed at %q", op)
	}
	r, err := a.Rollback(t.Context())
	if err != nil || r.Recovered == nil || !r.Recovered.Reloaded || len(r.Recovered.Restored) != 1 {
		t.Fatalf("got %+v, %v, want the unfinished change undone", r, err)
	}
	if b.read(t) != b.text(3, 5) || !b.inForce(t, 3, 5) {
		t.Errorf("got file\n%s", b.read(t))
	}
}

// Someone saves the file after the crash: their version stays.
func TestSaveAfterACrash(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	runKilled(t, killed{Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix, Want: b.want(3, 5),
		AtOp: "confirm"})
	mine := edited(b.text(3, 5), 1)
	write(t, b.Config, mine)
	rec, err := a.Recover(t.Context())
	if err != nil || len(rec.Kept) != 1 || len(rec.Restored) != 0 {
		t.Errorf("got %+v, %v, want the saved file kept", rec, err)
	}
	if b.read(t) != mine || len(leftovers(t, b.Dir)) > 0 {
		t.Errorf("got file\n%s", b.read(t))
	}
}

// The save fell into the moment between the exchange and its check, and then the process was killed.
func TestSaveInTheMomentOfACrash(t *testing.T) {
	b := newBed(t, "")
	a := b.applier(t)
	runKilled(t, killed{Config: a.Config, StateDir: a.StateDir, Binary: a.Binary, Prefix: a.Prefix, Want: b.want(3, 5),
		AtOp: "confirm"})
	mine := edited(string(b.old), 1)
	for _, name := range leftovers(t, b.Dir) { // what the exchange brought out
		write(t, name, mine)
	}
	if _, err := a.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.read(t) != mine || len(leftovers(t, b.Dir)) > 0 {
		t.Errorf("got file\n%s\nwant what was saved", b.read(t))
	}
}
