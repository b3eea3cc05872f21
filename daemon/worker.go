package daemon

import (
	"trimtab/helper"
)

// Worker is what a process has that a Split has started.
type Worker struct {
	Helper  *helper.Client
	Lacking []string // what the kernel lacks of the means to confine the process

	state string
}

// NewWorker confines this process to what a worker needs. It returns helper.ErrAlone when no Split has started it.
func NewWorker() (*Worker, error) {
	in, err := helper.Inherited()
	if err != nil {
		return nil, err
	}
	lacking, err := helper.Confine([]string{in.State}, nil)
	if err != nil {
		return nil, err
	}
	return &Worker{Helper: helper.NewClient(in.Changes, in.Questions), Lacking: lacking, state: in.State}, nil
}

// Read reads the daemon's configuration, by way of the helper.
func (w *Worker) Read() (*Config, error) {
	path, text, err := w.Helper.Settings()
	if err != nil {
		return nil, err
	}
	c := Defaults()
	if text != nil {
		if c, err = parseConfig(path, string(text), w.Helper.File); err != nil {
			return nil, err
		}
	}
	c.data = w.state
	return c, nil
}
