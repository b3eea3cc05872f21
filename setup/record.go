package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"trimtab/nginx"
	"trimtab/trusted"
)

// Record is what was made, in the order in which it was.
type Record struct {
	Version int    `json:"schema_version"`
	Config  string `json:"config"` // of Trimtab
	NGINX   string `json:"nginx"`  // main file of NGINX
	Binary  string `json:"binary"` // of NGINX
	DNS     bool   `json:"dns"`    // upstreams take their weights by DNS since
	Reload  bool   `json:"reload"` // NGINX has to load what is put back
	Steps   []Step `json:"steps"`  // files, in the order made
	// Weights are the operator's.
	Weights nginx.Settings `json:"weights_of_operator"`
}

// Step is one file, link or folder.
type Step struct {
	Path   string `json:"path"`
	Kind   string `json:"kind"`             // file, link or folder
	Before []byte `json:"before,omitempty"` // content that the file had; nil: there was none
	After  []byte `json:"after,omitempty"`  // content, or where the link leads
}

// recordVersion is the schema.
const recordVersion = 2

// ReadRecord reads a record; it fails with fs.ErrNotExist when there is none.
func ReadRecord(path string) (*Record, error) {
	f, err := trusted.Private(path)
	if err != nil {
		return nil, fmt.Errorf("read what was set up: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("read what was set up: %w", err)
	}
	r := new(Record)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Version > recordVersion {
		return nil, fmt.Errorf("read %s: of a newer trimtab (version %d)", path, r.Version)
	}
	return r, nil
}

// Save writes the record in one step.
func (r *Record) Save(path string) error {
	r.Version = recordVersion
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("note what is set up: %w", err)
	}
	return trusted.WriteFile(path, append(text, '\n'), 0o600)
}

// WriteFile writes a file, makes its folder when it is missing, and notes both.
func (r *Record) WriteFile(path string, text []byte, mode fs.FileMode) error {
	if err := r.folder(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.Steps = append(r.Steps, Step{Path: path, Kind: "file", Before: before, After: text})
	return trusted.WriteFile(path, text, mode)
}

func (r *Record) folder(path string, mode fs.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	r.Steps = append(r.Steps, Step{Path: path, Kind: "folder"})
	return os.MkdirAll(path, mode)
}

// Note notes files and links that others make: what stands there now is what was before.
func (r *Record) Note(paths ...string) {
	for _, path := range paths {
		if slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Path == path }) {
			continue
		}
		s := Step{Path: path, Kind: "file"}
		if before, err := os.ReadFile(path); err == nil {
			s.Before = before
		}
		r.Steps = append(r.Steps, s)
	}
}

// Made completes the steps that Note began with what stands there now; those that were not made are left out.
func (r *Record) Made() {
	r.Steps = slices.DeleteFunc(r.Steps, func(s Step) bool {
		_, err := os.Lstat(s.Path)
		return err != nil
	})
	for i := range r.Steps {
		s := &r.Steps[i]
		if target, err := os.Readlink(s.Path); err == nil {
			s.Kind, s.Before, s.After = "link", nil, []byte(target)
		} else if info, err := os.Stat(s.Path); err == nil && info.IsDir() {
			s.Kind, s.Before = "folder", nil
		} else if s.After == nil {
			s.After, _ = os.ReadFile(s.Path)
		}
	}
}

// Undo takes the steps back, the last first, and returns what was left alone because it was changed since, or is not
// empty.
func (r *Record) Undo() (kept []string, err error) {
	var errs []error
	for _, s := range slices.Backward(r.Steps) {
		left, err := s.undo()
		if left != "" {
			kept = append(kept, left)
		}
		errs = append(errs, err)
	}
	return kept, errors.Join(errs...)
}

func (s Step) undo() (left string, err error) {
	switch s.Kind {
	case "folder":
		if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.Path + " is not empty", nil
		}
		return "", nil
	case "link":
		switch target, err := os.Readlink(s.Path); {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil || target != string(s.After):
			return s.Path + " is another link now", nil //nolint:nilerr // it is said
		}
		return "", os.Remove(s.Path)
	}
	now, err := os.ReadFile(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case string(now) != string(s.After):
		return s.Path + " was changed since", nil
	case s.Before == nil:
		return "", os.Remove(s.Path)
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return "", err
	}
	return "", trusted.WriteFile(s.Path, s.Before, info.Mode().Perm())
}
