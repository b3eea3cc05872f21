package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"trimtab/weights"
)

func filledState(t *testing.T) State {
	t.Helper()
	w, err := weights.New(7)
	if err != nil {
		t.Fatal(err)
	}
	base := weights.Set{"app": {"10.0.0.1:80": {Weight: w}, "10.0.0.2:80": {Down: true}}}
	return State{
		Snapshot: []byte(`{"version":2}`), Base: base, LastGood: base.Clone(), Observed: 5 * time.Minute,
		Explanation: []byte(`{"reason":"hold"}`),
	}
}

func TestStateComesBack(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "new", "tuner.db"), nil)
	if st, aside, err := s.Load(); err != nil || aside != "" || st.Base != nil {
		t.Fatalf("nothing saved yet: got %+v, %q, %v, want an empty state", st, aside, err)
	}
	want := filledState(t)
	for range 2 {
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
	}
	got, aside, err := s.Load()
	if err != nil || aside != "" {
		t.Fatal(aside, err)
	}
	if !got.Base.Equal(want.Base) || !got.LastGood.Equal(want.LastGood) || got.Observed != want.Observed ||
		string(got.Explanation) != `{"reason":"hold"}` ||
		string(got.Snapshot) != `{"version":2}` || got.SavedAt.IsZero() {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestUnreadableStateIsPutAside(t *testing.T) {
	damage := func(f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	schema := func(value string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(func(tx *bbolt.Tx) error {
				return tx.Bucket(metaBucket).Put([]byte("schema"), []byte(value))
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, suffix string
		harm         func(*testing.T, string)
	}{
		{"an empty file", ".damaged-", damage(func([]byte) []byte { return nil })},
		{"a text file", ".damaged-", damage(func([]byte) []byte {
			return []byte(strings.Repeat("not a database\n", 1000))
		})},
		{"a file cut off in the middle", ".damaged-", damage(func(d []byte) []byte { return d[:len(d)/2] })},
		{"a file with only its head", ".damaged-", damage(func(d []byte) []byte { return d[:os.Getpagesize()*2] })},
		{"pages overwritten", ".damaged-", damage(func(d []byte) []byte {
			for i := 2 * os.Getpagesize(); i < len(d); i++ {
				d[i] = 0xa5
			}
			return d
		})},
		{"a schema of tomorrow", ".newer-", schema("2")},
		{"a schema that is no number", ".damaged-", schema("x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tuner.db")
			s := NewStore(path, nil)
			if err := s.Save(filledState(t)); err != nil {
				t.Fatal(err)
			}
			c.harm(t, path)
			if _, err := s.Read(); err == nil {
				t.Fatal("read: got no error")
			} else if errors.Is(err, ErrNewerState) != (c.suffix == ".newer-") {
				t.Errorf("read: got %v", err)
			}
			st, aside, err := s.Load()
			if err != nil || st.Base != nil || !strings.HasPrefix(aside, path+c.suffix) {
				t.Fatalf("got %+v, %q, %v, want an empty state and the file put aside as %s", st, aside, err, c.suffix)
			}
			if _, err := os.Stat(aside); err != nil {
				t.Error(err)
			}
			if err := s.Save(filledState(t)); err != nil {
				t.Errorf("save afterwards: %v", err)
			}
		})
	}
}

func TestStateThatCannotBeEncodedKeepsTheRest(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "tuner.db"), nil)
	st := filledState(t)
	if err := s.Save(st); err != nil {
		t.Fatal(err)
	}
	st.Explanation = []byte(`{"reason":NaN}`)
	st.Snapshot = nil
	st.Observed = time.Hour
	if err := s.Save(st); err == nil || !strings.Contains(err.Error(), "explanation") {
		t.Errorf("got %v, want the part that cannot be encoded named", err)
	}
	got, _, err := s.Load()
	if err != nil || got.Observed != time.Hour || string(got.Explanation) != `{"reason":"hold"}` ||
		string(got.Snapshot) != `{"version":2}` {
		t.Errorf("got %+v, %v, want the new time, and the explanation and the snapshot of before", got, err)
	}
}

func TestLockedStateIsNotPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuner.db")
	s := NewStore(path, nil)
	if err := s.Save(filledState(t)); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, aside, err := s.Load(); !errors.Is(err, bolterrors.ErrTimeout) || aside != "" {
		t.Errorf("got %q, %v, want a timeout and the file left alone", aside, err)
	}
}

// NGINX takes names of any bytes, and JSON does not.
func TestNamesThatAreNotUTF8ComeBack(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "tuner.db"), nil)
	want := weights.Set{"caf\xe9": {"unix:/run/\xff.sock": {Weight: weights.Clamp(3)},
		`unix:/run/\xff.sock`: {Down: true}}, "caf\xe8": {"a": {}}}
	if err := s.Save(State{Base: want, LastGood: want}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read()
	if err != nil || !got.Base.Equal(want) || !got.LastGood.Equal(want) {
		t.Errorf("got %q and %q, %v, want %q", got.Base, got.LastGood, err, want)
	}
}
