package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"trimtab/trusted"
)

// Store keeps the State in a file. Several processes may share it: changes are made under a lock, one after the other,
// and each replaces the file in one step.
type Store struct {
	Path string
}

// maxState bounds what is read: 65,000 servers fit.
const maxState = 16 << 20

// Read returns the state; an empty one when there is none yet.
func (s Store) Read() (*State, error) {
	text, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Format: 1, Upstreams: map[string]Upstream{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read DNS state: %w", err)
	}
	st, err := ParseState(text)
	if err != nil {
		return nil, fmt.Errorf("read DNS state %s: %w", s.Path, err)
	}
	return st, nil
}

// ParseState reads what Read and Update write.
func ParseState(text []byte) (*State, error) {
	if len(text) > maxState {
		return nil, fmt.Errorf("%d bytes, want at most %d", len(text), maxState)
	}
	st := &State{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(st); err != nil {
		return nil, err
	}
	if st.Upstreams == nil {
		st.Upstreams = map[string]Upstream{}
	}
	return st, st.Validate()
}

// Update changes the state: change is given a copy and says whether it changed it. It returns the state before and
// after.
func (s Store) Update(ctx context.Context, change func(*State) (bool, error)) (before, after *State, err error) {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		return nil, nil, fmt.Errorf("write DNS state: %w", err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if before, err = s.Read(); err != nil {
		return nil, nil, err
	}
	after = before.Clone()
	changed, err := change(after)
	if err != nil || !changed {
		return before, before, err
	}
	after.Serial = before.Serial + 1
	if err := after.Validate(); err != nil {
		return before, before, refuse("%v", err)
	}
	return before, after, s.write(after)
}

func (s Store) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(s.Path+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock DNS state: %w", err)
	}
	if err := trusted.LikeItsFolder(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock DNS state: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("lock DNS state %s: another process changes it: %w", s.Path, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	_ = f.Close()
	return nil, fmt.Errorf("lock DNS state %s: %w", s.Path, err)
}

func (s Store) write(st *State) error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write DNS state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), ".dns-*")
	if err != nil {
		return fmt.Errorf("write DNS state: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Chmod(0o644), trusted.LikeItsFolder(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return fmt.Errorf("write DNS state: %w", err)
	}
	return nil
}
