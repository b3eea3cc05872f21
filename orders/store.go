package orders

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"trimtab/trusted"
)

// Store keeps orders in a file, which several processes may change, one after the other.
type Store struct{ Path string }

// Read returns the orders; none when there is no file.
func (s Store) Read() (*Orders, error) {
	text, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Orders{Format: 1, Upstreams: map[string]map[string]Order{}, Before: map[string]map[string]Weight{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	o, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read orders %s: %w", s.Path, err)
	}
	return o, nil
}

// Parse reads what Update writes.
func Parse(text []byte) (*Orders, error) {
	o := &Orders{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(o); err != nil {
		return nil, err
	}
	if o.Upstreams == nil {
		o.Upstreams = map[string]map[string]Order{}
	}
	if o.Before == nil {
		o.Before = map[string]map[string]Weight{}
	}
	return o, o.Validate()
}

// Update changes the orders: change is given a copy and says whether it changed it.
func (s Store) Update(change func(*Orders) (bool, error)) (*Orders, error) {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		return nil, fmt.Errorf("write orders: %w", err)
	}
	lock, err := os.OpenFile(s.Path+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	defer lock.Close()
	if err := trusted.LikeItsFolder(lock); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // held for as long as a small file is written
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	o, err := s.Read()
	if err != nil {
		return nil, err
	}
	next := o.Clone()
	changed, err := change(next)
	if err != nil || !changed {
		return o, err
	}
	if err := next.Validate(); err != nil {
		return o, err
	}
	text, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return o, fmt.Errorf("write orders: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.Path), ".orders-*")
	if err != nil {
		return o, fmt.Errorf("write orders: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), trusted.LikeItsFolder(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.Path)
	}
	if err != nil {
		return o, fmt.Errorf("write orders: %w", err)
	}
	return next, nil
}
