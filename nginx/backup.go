package nginx

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// keptBackups is how many file contents the state folder holds at most, besides those a journal needs.
const keptBackups = 40

// MarshalText writes the hash in full, in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return fmt.Errorf("hash %q: want %d hexadecimal digits", text, hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// backupPath is where the content with the hash is kept: a plain file that a person can copy back.
func (a *Applier) backupPath(h Hash) string {
	return filepath.Join(a.StateDir, "files", hex.EncodeToString(h[:]))
}

// keep stores a content under its hash and returns the path.
func (a *Applier) keep(data []byte) (string, error) {
	h := hashOf(data)
	path := a.backupPath(h)
	if _, err := a.kept(h); err == nil {
		return path, nil
	}
	if err := a.do("create folder", filepath.Dir(path), func() error {
		return os.MkdirAll(filepath.Dir(path), 0o700)
	}); err != nil {
		return "", err
	}
	return path, a.store(filepath.Join("files", filepath.Base(path)), data)
}

// kept returns the content with the hash, or an error when it is not there or damaged.
func (a *Applier) kept(h Hash) ([]byte, error) {
	path := a.backupPath(h)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read backup %s: %w", path, unwrapPath(err))
	}
	if hashOf(data) != h {
		return nil, fmt.Errorf("read backup %s: damaged: its content does not match its name", path)
	}
	return data, nil
}

// prune removes the oldest backups that no journal needs. Failing to do so harms nothing and is reported by a later
// check of free space, so errors are only logged.
func (a *Applier) prune(needed ...*journal) {
	dir := filepath.Join(a.StateDir, "files")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.log().Warn("cannot list backups", "folder", dir, "error", err)
	}
	needs := map[string]bool{}
	for _, j := range needed {
		if j == nil {
			continue
		}
		for _, f := range j.Files {
			needs[hex.EncodeToString(f.Old[:])], needs[hex.EncodeToString(f.New[:])] = true, true
		}
	}
	type backup struct {
		name string
		at   int64
	}
	var old []backup
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !needs[e.Name()] {
			old = append(old, backup{e.Name(), info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(old, func(a, b backup) int { return int(max(-1, min(1, b.at-a.at))) })
	for i := keptBackups; i < len(old); i++ {
		if err := os.Remove(filepath.Join(dir, old[i].name)); err != nil {
			a.log().Warn("cannot remove an old backup", "file", old[i].name, "error", err)
		}
	}
}
