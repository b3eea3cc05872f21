package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"trimtab/weights"
)

// StateVersion is the schema of the state file that this program writes, and the newest that it reads.
const StateVersion = 1

// State is what a daemon keeps from one run to the next.
type State struct {
	Snapshot    json.RawMessage // what was learned, a tuner.Snapshot; nil: nothing yet
	Base        weights.Set     // of the operator, to be restored when asked for
	LastGood    weights.Set     // last set by the tuner and confirmed
	Observed    time.Duration   // how long was observed without changing anything
	Explanation json.RawMessage // of the last decision, a tuner.Explanation; nil: none
	SavedAt     time.Time
}

// Store keeps a State in one bbolt file. The file is open only while it is read or written, so that others may read
// it while a daemon runs.
type Store struct {
	path string
	log  *slog.Logger
	now  func() time.Time
}

// NewStore returns a store over the file at path; it does no I/O. log nil means silence.
func NewStore(path string, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{path: path, log: log, now: time.Now}
}

// ErrNewerState says that the state file was written by a newer program.
var ErrNewerState = errors.New("state of a newer version")

var (
	metaBucket  = []byte("meta")
	stateBucket = []byte("state")
)

const lockWait = 2 * time.Second

// Load reads the state. A file that is damaged, or of a newer schema, is put aside under another name and the state is
// empty: aside then says where it is. A missing file is an empty state.
func (s *Store) Load() (st State, aside string, err error) {
	st, err = s.Read()
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return st, "", nil
	case errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, fs.ErrPermission):
		return State{}, "", err // somebody else's, not damaged
	}
	suffix := ".damaged-"
	if errors.Is(err, ErrNewerState) {
		suffix = ".newer-"
	}
	aside = s.path + suffix + s.now().UTC().Format("20060102T150405.000")
	if moveErr := os.Rename(s.path, aside); moveErr != nil {
		return State{}, "", fmt.Errorf("put aside the state: %w (it cannot be read: %w)", moveErr, err)
	}
	s.log.Warn("state put aside, beginning without it", "file", aside, "reason", err)
	return State{}, aside, nil
}

// Read reads the state and changes nothing.
func (s *Store) Read() (st State, err error) {
	if _, err := os.Stat(s.path); err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	// bbolt maps the file: a damaged or truncated one may panic or fault where an error would do.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			st, err = State{}, fmt.Errorf("read state %s: damaged: %v", s.path, p)
		}
	}()
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return State{}, fmt.Errorf("open state %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		meta, values := tx.Bucket(metaBucket), tx.Bucket(stateBucket)
		if meta == nil || values == nil {
			return errors.New("not a state file")
		}
		version, err := strconv.Atoi(string(meta.Get([]byte("schema"))))
		if err != nil {
			return errors.New("no schema version")
		}
		if version > StateVersion {
			return fmt.Errorf("%w: schema %d, this program reads up to %d", ErrNewerState, version, StateVersion)
		}
		sum, err := checksum(values)
		if err != nil {
			return err
		}
		if !bytes.Equal(sum, meta.Get([]byte("sha256"))) {
			return errors.New("damaged: the checksum does not fit")
		}
		var errs []error
		for key, to := range st.parts() {
			if text := values.Get([]byte(key)); text != nil {
				if raw, ok := to.(*json.RawMessage); ok && string(text) == "null" {
					*raw = nil
				} else if err := json.Unmarshal(text, to); err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", key, err))
				}
			}
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return State{}, fmt.Errorf("read state %s: %w", s.path, err)
	}
	st.Base, st.LastGood = relabel(st.Base, unlabel), relabel(st.LastGood, unlabel)
	return st, nil
}

// parts are the fields by key.
func (st *State) parts() map[string]any {
	return map[string]any{
		"snapshot": &st.Snapshot, "base": &st.Base, "last_good": &st.LastGood, "observed": &st.Observed,
		"explanation": &st.Explanation,
		"saved_at":    &st.SavedAt,
	}
}

// Save writes the state in one transaction: after a crash the file holds the old state or the new one. A snapshot or
// explanation that is nil leaves the one in the file alone. A part that cannot be encoded keeps its old value and is
// reported when the rest is written.
func (s *Store) Save(st State) (err error) {
	st.SavedAt = s.now()
	// JSON would change names that are not UTF-8
	st.Base, st.LastGood = relabel(st.Base, label), relabel(st.LastGood, label)
	texts := make(map[string][]byte)
	var unfit error
	for key, value := range st.parts() {
		if raw, ok := value.(*json.RawMessage); ok && *raw == nil {
			continue
		}
		if texts[key], err = json.Marshal(value); err != nil {
			delete(texts, key)
			unfit = errors.Join(unfit, fmt.Errorf("write state: %s: %w", key, err))
		}
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write state %s: damaged: %v", s.path, p)
		}
	}()
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return fmt.Errorf("write state %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		values, err := tx.CreateBucketIfNotExists(stateBucket)
		if err != nil {
			return err
		}
		if err := meta.Put([]byte("schema"), []byte(strconv.Itoa(StateVersion))); err != nil {
			return err
		}
		for key, text := range texts {
			if err := values.Put([]byte(key), text); err != nil {
				return err
			}
		}
		sum, err := checksum(values)
		if err != nil {
			return err
		}
		return meta.Put([]byte("sha256"), sum)
	})
	if err != nil {
		return fmt.Errorf("write state %s: %w", s.path, err)
	}
	return unfit
}

// checksum covers every key and value, in the order of the keys. bbolt's own check runs in a goroutine of its own,
// where the fault that a damaged page may cause cannot be caught.
func checksum(b *bbolt.Bucket) ([]byte, error) {
	h := sha256.New()
	err := b.ForEach(func(k, v []byte) error {
		fmt.Fprintf(h, "%d:%s %d:", len(k), k, len(v))
		h.Write(v)
		return nil
	})
	return h.Sum(nil), err
}
