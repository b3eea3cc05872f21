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

// noState is the folder of a worker that has none: nothing is in it, and nothing can be written there.
const noState = "/proc/no-state-of-trimtab"

// NewWorker confines this process to what a worker needs. It returns helper.ErrAlone when no Split has started it.
func NewWorker() (*Worker, error) {
	in, err := helper.Inherited()
	if err != nil {
		return nil, err
	}
	own := []string{in.State}
	if in.State == "" {
		in.State, own = noState, nil
	}
	lacking, err := helper.Confine(own, nil)
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
	c, err := parseConfig(path, string(text), w.Helper.File)
	if err != nil {
		return nil, err
	}
	c.data = w.state
	return c, nil
}
