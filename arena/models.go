package arena

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"trimtab/control"
	"trimtab/rival"
)

// Models is a folder of what learners learned, one file for each kind, scenario and overridden method.
type Models struct{ Dir string }

// Path is the file of a model.
func (m Models) Path(kind, scenario, method string) string {
	return filepath.Join(m.Dir, ModelName(kind, scenario, method)+".json")
}

// open reads the model that is played on a case.
func (m Models) open(kind string, c Case) (*rival.Model, error) {
	path := m.Path(kind, c.Scenario.Name, c.Method)
	model, err := rival.OpenModel(path, kind)
	if errors.Is(err, fs.ErrNotExist) {
		train := "trimtab arena train " + c.Scenario.Name + " --policy " + kind
		if c.Method != "" {
			train += " --method " + c.Method
		}
		return nil, fmt.Errorf("%s has not been trained on %s: no file %s: run %s", kind, c.Scenario.Name, path, train)
	}
	if err != nil {
		return nil, err
	}
	if err := model.Fits(ShapeOf(c.Scenario)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return model, nil
}

// Choosers returns the choosers that play models of the folder, by name.
func (m Models) Choosers() map[string]NewPolicy {
	out := map[string]NewPolicy{}
	for _, kind := range rival.Trainable() {
		out[kind] = func(_ context.Context, c Case) (control.Policy, error) {
			model, err := m.open(kind, c)
			if err != nil {
				return nil, err
			}
			return rival.NewTrained(model)
		}
	}
	return out
}
