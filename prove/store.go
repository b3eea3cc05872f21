package prove

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"trimtab/trusted"
)

// File is what a daemon keeps of an experiment beside the experiment itself.
type File struct {
	*Experiment
	// In is whose weights were put in force last; empty: the experiment has set none yet.
	In Arm `json:"arm_in_force,omitempty"`
}

// mostFile bounds the file of an experiment.
const mostFile = 64 << 20

// Read reads an experiment; fs.ErrNotExist: there is none.
func Read(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read experiment: %w", err)
	}
	if info.Size() > mostFile {
		return nil, fmt.Errorf("read experiment %s: %d bytes are more than any has", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read experiment: %w", err)
	}
	f, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read experiment %s: %w", path, err)
	}
	return f, nil
}

// Parse reads what Write writes.
func Parse(text []byte) (*File, error) {
	f := &File{Experiment: &Experiment{}}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, err
	}
	x := f.Experiment
	if x.Format != Format {
		return nil, fmt.Errorf("format %q: this program reads %q", x.Format, Format)
	}
	if err := x.Plan.Validate(); err != nil {
		return nil, err
	}
	if len(x.Stages) == 0 {
		return nil, errors.New("no stage")
	}
	if !(x.Elapsed >= 0) || math.IsInf(x.Elapsed, 0) {
		return nil, fmt.Errorf("elapsed_s %v: want 0 or more", x.Elapsed)
	}
	for i := range x.Stages {
		for j := range x.Stages[i].Pairs {
			p := &x.Stages[i].Pairs[j]
			last := i == len(x.Stages)-1 && j == len(x.Stages[i].Pairs)-1
			switch {
			case p.First.Arm != Operator && p.First.Arm != Tuned:
				return nil, fmt.Errorf("arm %q: want operator or tuned", p.First.Arm)
			case p.Second == nil && !last:
				return nil, errors.New("a pair in the middle has one block")
			case p.Second != nil && p.Second.Arm != p.First.Arm.other():
				return nil, errors.New("a pair has two blocks of the same arm")
			}
		}
	}
	x.Plan = x.Plan.WithDefaults()
	x.due = x.Began
	return f, nil
}

// Write writes the file, whole or not at all.
func (f *File) Write(path string) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write experiment: %w", err)
	}
	return write(path, text)
}

// Order is what somebody wants of the daemon's experiments.
type Order struct {
	At    time.Time `json:"at"`
	Begin *Plan     `json:"begin,omitempty"` // an experiment by this plan
	Stop  bool      `json:"stop,omitempty"`
}

// Give leaves an order for the daemon.
func (o Order) Give(path string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write order: %w", err)
	}
	return write(path, text)
}

// TakeOrder reads the order that is left at path and removes it; nil: there is none.
func TakeOrder(path string) (*Order, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("take order: %w", err) // carried out again and again otherwise
	}
	o := new(Order)
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("read order %s: %w", path, err)
	}
	if o.Begin != nil {
		if err := o.Begin.Validate(); err != nil {
			return nil, fmt.Errorf("read order %s: %w", path, err)
		}
	}
	return o, nil
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, trusted.LikeItsFolder(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
