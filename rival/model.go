package rival

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"trimtab/neural"
	"trimtab/trusted"
)

// ModelVersion is the version of the model file that this package writes, and the only one it reads.
const ModelVersion = 1

// Model is what training leaves: everything that a policy needs to be played.
type Model struct {
	Version int     `json:"version"`
	Kind    string  `json:"kind"` // name of the policy
	Shape   Shape   `json:"shape"`
	Trained Trained `json:"trained"`
	// Of learners with networks.
	Actions *ActionSet             `json:"actions,omitempty"`
	Scaler  *neural.Scaler         `json:"scaler,omitempty"`
	Nets    map[string]*neural.Net `json:"networks,omitempty"`
	Student *StudentModel          `json:"student,omitempty"`
	// Of the table.
	Regimes json.RawMessage `json:"regimes,omitempty"` // a model of package cluster
	Table   *TableModel     `json:"table,omitempty"`
}

// Trained says how a model came about.
type Trained struct {
	Scenario string  `json:"scenario"`
	Method   string  `json:"method,omitempty"` // balancing method, where it was not the scenario's
	Seed     uint64  `json:"seed"`
	Steps    int     `json:"steps"`
	Episodes int     `json:"episodes"`
	Seconds  float64 `json:"seconds"`
	Score    float64 `json:"score"` // of the evaluation that it was chosen by, less is better
}

// longestModel bounds a file that is read.
const longestModel = 64 << 20

// ErrOtherModel says that a model file is no model of what is played.
var ErrOtherModel = errors.New("model of something else")

// ReadModel reads a model of the kind and checks that it is whole.
func ReadModel(r io.Reader, kind string) (*Model, error) {
	text, err := io.ReadAll(io.LimitReader(r, longestModel+1))
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if len(text) > longestModel {
		return nil, fmt.Errorf("read model: more than %d bytes", longestModel)
	}
	var head struct {
		Version int    `json:"version"`
		Kind    string `json:"kind"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if head.Version != ModelVersion {
		return nil, fmt.Errorf("read model: %w: version %d, this build reads %d: train again", ErrOtherModel,
			head.Version, ModelVersion)
	}
	if head.Kind != kind {
		return nil, fmt.Errorf("read model: %w: of %q, want %q", ErrOtherModel, head.Kind, kind)
	}
	m := &Model{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// OpenModel reads the model file at the path.
func OpenModel(path, kind string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	m, err := ReadModel(f, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Save writes the model file whole or not at all.
func (m *Model) Save(path string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	if err := trusted.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	return nil
}

// Fits reports what is wrong with playing the model in a world of the shape.
func (m *Model) Fits(s Shape) error {
	if d := m.Shape.Difference(s); d != "" {
		return fmt.Errorf("%w: %s, trained on scenario %s: %s", ErrOtherModel, m.Kind, m.Trained.Scenario, d)
	}
	return nil
}

// check reports what does not fit together in a file.
func (m *Model) check() error {
	if len(m.Shape.Groups) == 0 {
		return errors.New("no upstreams in its shape")
	}
	for _, g := range m.Shape.Groups {
		if len(g.Servers) == 0 {
			return fmt.Errorf("upstream %s of its shape has no servers", g.Name)
		}
	}
	switch m.Kind {
	case KindDQN:
		return m.checkDQN()
	case KindTable:
		return m.checkTable()
	case KindTD3:
		return m.checkTD3()
	case KindStudent:
		return m.checkStudent()
	}
	return fmt.Errorf("kind %q: unknown", m.Kind)
}

// net is a network of the file with the ends that are wanted.
func (m *Model) net(name string, inputs, outputs int) (*neural.Net, error) {
	n := m.Nets[name]
	if n == nil {
		return nil, fmt.Errorf("no network %q", name)
	}
	if n.Inputs() != inputs || n.Outputs() != outputs {
		return nil, fmt.Errorf("%w: network %q of %d inputs and %d outputs: want %d and %d", ErrOtherModel, name,
			n.Inputs(), n.Outputs(), inputs, outputs)
	}
	return n, nil
}
